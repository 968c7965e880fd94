"""The prior: repeats to the byte, goes on after an interruption, knows no names, keeps scale."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from forecaster.dataset import Origins
from forecaster.errors import CheckpointError, ShapeError
from forecaster.features import build_windows
from forecaster.network.model import Vocabulary
from forecaster.pretrain.demand import made_up_demand
from forecaster.pretrain.prior import (
    TRACE_RATIO,
    EvenDraw,
    PriorResult,
    fit_prior,
    prior_config,
    trace_views,
)
from forecaster.training.checkpoint import model_from_bytes, model_to_bytes
from forecaster.types import Series
from tests.unit.forecaster.conftest import make_series, small_config

BASE = prior_config()
CONFIG = replace(
    BASE,
    window=small_config().window,
    model=small_config().model,
    train=replace(
        BASE.train, max_windows=256, max_validation_windows=128, epochs=2, batch=64, flow_epochs=2
    ),
)
SEED = 4


@pytest.fixture(scope="module")
def made_up() -> list[Series]:
    return made_up_demand(24, 9)


@pytest.fixture(scope="module")
def trained(made_up: list[Series]) -> tuple[PriorResult, list[bytes]]:
    states: list[bytes] = []
    traces = list(trace_views([make_series(1, 1200)]))
    return fit_prior(made_up, traces, CONFIG, SEED, on_checkpoint=states.append), states


def test_same_seed_same_bytes(
    trained: tuple[PriorResult, list[bytes]], made_up: list[Series]
) -> None:
    traces = list(trace_views([make_series(1, 1200)]))
    again = fit_prior(made_up, traces, CONFIG, SEED).model
    assert model_to_bytes(again) == model_to_bytes(trained[0].model)
    other = fit_prior(made_up, traces, CONFIG, SEED + 1).model
    assert other.version != again.version


@pytest.mark.parametrize("at", [0, 2])
def test_resumed_it_ends_with_the_same_bytes(
    trained: tuple[PriorResult, list[bytes]], made_up: list[Series], at: int
) -> None:
    traces = list(trace_views([make_series(1, 1200)]))
    resumed = fit_prior(made_up, traces, CONFIG, SEED, resume=trained[1][at])
    assert model_to_bytes(resumed.model) == model_to_bytes(trained[0].model)
    assert resumed.history == trained[0].history


def test_it_may_end_before_its_schedule_does(made_up: list[Series]) -> None:
    found = fit_prior(made_up, [], CONFIG, SEED, n_epochs=1)
    assert [(p.stage, p.epoch) for p in found.history] == [
        ("marginals", 1), ("flow", 1), ("flow", 2),
    ]  # fmt: skip
    assert found.history[0].n_epochs == 1


def test_a_state_of_other_demand_is_refused(
    trained: tuple[PriorResult, list[bytes]], made_up: list[Series]
) -> None:
    with pytest.raises(CheckpointError, match="data digest"):
        fit_prior(made_up[1:], [], CONFIG, SEED, resume=trained[1][0])


def test_a_state_of_fewer_or_more_passes_is_refused(
    trained: tuple[PriorResult, list[bytes]], made_up: list[Series]
) -> None:
    """One pass after those that were asked for none would be the last."""
    traces = list(trace_views([make_series(1, 1200)]))
    for n_epochs in (1, 3):
        with pytest.raises(CheckpointError, match=f"n_epochs=2, now {n_epochs}"):
            fit_prior(made_up, traces, CONFIG, SEED, n_epochs=n_epochs, resume=trained[1][0])


def test_it_knows_no_names_and_reads_the_demand_alone(
    trained: tuple[PriorResult, list[bytes]], rng: np.random.Generator
) -> None:
    model = trained[0].model
    assert model.vocabulary == Vocabulary((), ())
    assert (model.name, model.trees, model.joint) == ("prior", None, None)
    one = make_series(2)
    alone = replace(one, values=one.values[:, :1], observed=one.observed[:, :1],
                    indicators=("else",), levels=(1,), workload="renamed",
                    known_ahead=())  # fmt: skip
    both = [build_windows([s], CONFIG.window) for s in (one, alone)]
    found = [model.predict(w, 4, 20, np.random.default_rng(3)) for w in both]
    np.testing.assert_array_equal(found[0].quantiles, found[1].quantiles)
    np.testing.assert_array_equal(found[0].paths, found[1].paths)
    assert found[0].rung == ("prior",)
    with pytest.raises(ShapeError, match=r"\(B, 1\)"):
        model.quantiles_of(both[0], np.array([[0, 1]]))


@pytest.mark.parametrize("factor", [10.0, 1 / 16, 3e4])
def test_demand_times_a_factor_gives_paths_times_it(
    trained: tuple[PriorResult, list[bytes]], factor: float
) -> None:
    model, one = trained[0].model, make_series(3)
    larger = replace(one, values=one.values * np.float32(factor))
    found = [
        model.predict(build_windows([s], CONFIG.window), 4, 50, np.random.default_rng(3))
        for s in (one, larger)
    ]
    np.testing.assert_allclose(found[0].paths * factor, found[1].paths, rtol=1e-3, atol=1e-3)


def test_a_checkpoint_of_it_is_one_like_any_other(
    trained: tuple[PriorResult, list[bytes]],
) -> None:
    model = trained[0].model
    raw = model_to_bytes(model)
    assert model_from_bytes(raw).version == model.version
    assert model_to_bytes(model_from_bytes(raw)) == raw


def test_views_of_a_trace_are_of_its_first_part_and_in_longer_steps() -> None:
    one = make_series(1, 6000)
    fine = replace(one, step_s=300)
    views = list(trace_views([fine]))
    assert {v.step_s for v in views} == {300, 600, 1800}
    assert {v.indicators for v in views} == {("demand",)}
    native = next(v for v in views if v.step_s == 300)
    assert native.n_steps == round(TRACE_RATIO * 6000)
    cut = replace(fine, values=np.where(np.arange(6000)[:, None] < 4200, fine.values, 7))
    for seen, same in zip(views, trace_views([cut]), strict=True):
        np.testing.assert_array_equal(seen.values, same.values)


def test_views_leave_out_what_stands_still() -> None:
    one = make_series(1, 1200)
    still = replace(one, values=np.full_like(one.values, 3))
    assert list(trace_views([still])) == []


def test_a_draw_is_even_over_histories_and_shares() -> None:
    import torch

    which = np.repeat([0, 1, 2, 3], [10, 1000, 10, 1000])
    origins = Origins(which, np.arange(which.size))
    draw = EvenDraw.of(2, 2)
    found = draw(origins, 2020, torch.Generator().manual_seed(1))
    count = np.bincount(found.which)
    assert count.sum() == 2020
    assert count[:2].sum() / 2020 == pytest.approx(0.6, abs=0.05)
    assert count[0] / count[1] == pytest.approx(1, abs=0.2)
    assert (np.diff(found.which) >= 0).all()
    assert EvenDraw.of(3, 0).weights.tolist() == [1 / 3] * 3
