"""Updates between fits: they help after a change, are kept only if they do, and forget little."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from forecaster.errors import ConfigError, IrregularSteps
from forecaster.features import build_windows
from forecaster.training.adapt import AdaptConfig, AdaptResult, update
from forecaster.training.checkpoint import from_bytes, to_bytes
from forecaster.training.fit import FitResult
from forecaster.types import Series

CONFIG = AdaptConfig(
    recent_steps=160,
    max_windows=160,
    max_held_windows=60,
    batch=16,
    epochs=3,
    learning_rate=5e-3,
)


def changed(series: Series, n_last: int, seed: int = 0) -> Series:
    """The last steps alternate between two levels: nothing that the model has seen."""
    values = series.values.copy()
    rng = np.random.default_rng(seed)
    steps = np.arange(n_last)
    level = values[:, 0].mean() * np.where(steps // 2 % 2 == 0, 0.4, 1.8)
    values[-n_last:, 0] = level * rng.uniform(0.97, 1.03, n_last)
    return replace(series, values=values)


@pytest.fixture(scope="module")
def shifted(fleet: list[Series]) -> list[Series]:
    return [changed(s, 200, seed) for seed, s in enumerate(fleet)]


def _known(name: str, tensors: dict[str, torch.Tensor], n_rows: int) -> torch.Tensor:
    return tensors[name][:n_rows] if name.endswith("workload.weight") else tensors[name]


@pytest.fixture(scope="module")
def updated(fitted: FitResult, shifted: list[Series]) -> AdaptResult:
    """An update on the fleet and one workload more."""
    return update(fitted.model, [*shifted, replace(shifted[0], workload="new")], CONFIG, seed=1)


def parameters(model: object) -> dict[str, torch.Tensor]:
    return dict(model.net.state_dict())  # type: ignore[attr-defined]


def test_an_update_that_helps_is_kept_and_moves_head_and_embeddings_only(
    fitted: FitResult, updated: AdaptResult
) -> None:
    result = updated
    assert result.is_updated
    assert result.loss_after < 0.95 * result.loss_before
    assert result.n_windows <= CONFIG.max_windows
    assert 0 < result.n_replayed <= CONFIG.replay_ratio * CONFIG.max_windows
    assert result.model.version != fitted.model.version
    assert "held-out loss" in result.reason
    old, new = parameters(fitted.model), parameters(result.model)
    n_rows = len(fitted.model.vocabulary.workloads) + 1
    moved = {name for name in old if not torch.equal(old[name], _known(name, new, n_rows))}
    assert moved
    assert all(".head." in f".{name}" or name.endswith("workload.weight") for name in moved)
    assert any(".head." in f".{name}" for name in moved)
    for name in (name for name in moved if name.endswith("workload.weight")):
        assert torch.equal(old[name][0], new[name][0]), "the shared embedding must stay"
    assert not any(p.requires_grad for p in result.model.net.parameters())


def test_the_same_seed_gives_the_same_bytes_and_the_given_model_stays(
    fitted: FitResult, shifted: list[Series]
) -> None:
    given = to_bytes(fitted.model)
    short = replace(CONFIG, epochs=1)
    first, second, other = (
        to_bytes(update(fitted.model, shifted, short, seed).model) for seed in (4, 4, 5)
    )
    assert first == second
    assert first not in (other, given)
    assert to_bytes(from_bytes(first)) == first
    assert to_bytes(fitted.model) == given


def test_an_update_that_does_not_help_is_not_kept(fitted: FitResult, fleet: list[Series]) -> None:
    strict = replace(CONFIG, min_gain=0.5, epochs=1)
    result = update(fitted.model, fleet, strict, seed=1)
    assert result.model is fitted.model
    assert not result.is_updated
    assert "kept as it was" in result.reason
    assert np.isfinite([result.loss_before, result.loss_after]).all()
    assert result.added == ()


def test_replay_remembers_what_was_before(fitted: FitResult, shifted: list[Series]) -> None:
    """Loss on the old pattern after an update: smaller with replayed windows than without."""
    olds = [s.head(s.n_steps - 200) for s in shifted]
    no_change = replace(CONFIG, min_gain=0.0, max_windows=1, epochs=1, replay_ratio=0.0)

    def old_loss(replay_ratio: float) -> float:
        setting = replace(CONFIG, replay_ratio=replay_ratio, min_gain=0.0)
        model = update(fitted.model, shifted, setting, seed=2).model
        return update(model, olds, no_change, seed=0).loss_before

    assert old_loss(0.6) < old_loss(0.0)


def test_a_new_workload_starts_at_the_shared_embedding(
    fitted: FitResult, shifted: list[Series], updated: AdaptResult
) -> None:
    result = updated
    assert result.added == ("new",)
    assert result.model.vocabulary.workloads == (*fitted.model.vocabulary.workloads, "new")
    name = next(n for n in parameters(result.model) if n.endswith("encoder.workload.weight"))
    rows = parameters(result.model)[name]
    assert rows.shape[0] == len(result.model.vocabulary.workloads) + 1
    shared = parameters(fitted.model)[name][0]
    assert not torch.equal(rows[-1], shared), "its own row has learned"
    assert (rows[-1] - shared).norm() < (rows[1:-1] - shared).norm(dim=1).max()
    window = build_windows([replace(shifted[0], workload="new")], result.model.config.window)
    rng = np.random.default_rng(0)
    assert np.isfinite(result.model.predict(window, 4, 8, rng).quantiles).all()
    assert to_bytes(from_bytes(to_bytes(result.model))) == to_bytes(result.model)


def test_the_row_of_a_workload_without_windows_stays(
    fitted: FitResult, shifted: list[Series]
) -> None:
    known = fitted.model.vocabulary.workloads
    result = update(fitted.model, shifted[:1], CONFIG, seed=1)
    assert result.is_updated
    for name, old in parameters(fitted.model).items():
        if name.endswith("encoder.workload.weight"):
            others = [i + 1 for i, w in enumerate(known) if w != shifted[0].workload]
            assert torch.equal(parameters(result.model)[name][others], old[others])


@pytest.mark.parametrize("kind", ["none", "short", "silent"])
def test_without_recent_windows_the_model_stays(
    fitted: FitResult, fleet: list[Series], kind: str
) -> None:
    silent = fleet[0].observed.copy()
    silent[-200:] = False
    given = {
        "none": [],
        "short": [fleet[0].head(20)],
        "silent": [replace(fleet[0], observed=silent)],
    }[kind]
    result = update(fitted.model, given, CONFIG, seed=1)
    assert result.model is fitted.model
    assert "no recent windows" in result.reason
    assert np.isnan(result.loss_before)


def test_mixed_steps_are_refused(fitted: FitResult, fleet: list[Series]) -> None:
    with pytest.raises(IrregularSteps, match="step_s"):
        update(fitted.model, [fleet[0], replace(fleet[1], step_s=1800)], CONFIG, seed=1)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("recent_steps", 0),
        ("held_ratio", 1.0),
        ("replay_ratio", 1.0),
        ("learning_rate", 0.0),
        ("min_gain", -0.1),
    ],
)
def test_wrong_settings_are_named(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{field}={value}"):
        AdaptConfig(**{field: value})
