"""`harmony models pretrain`: a prior and its card in a folder, refusals, an interrupted run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import typer

from forecaster import (
    CheckpointError,
    ForecasterConfig,
    Series,
    fit_prior,
    model_from_bytes,
    prior_config,
)
from services.cli.models import pretraining
from services.cli.models.pretraining import Pretraining, train_prior
from services.forecasting.registry.shipped import CARD_FILE, PRIOR_FILE
from services.kernel.errors import InvalidInput
from tests.unit.forecaster.conftest import make_series, small_config


def small_prior() -> ForecasterConfig:
    base, small = prior_config(), small_config()
    train = replace(base.train, max_windows=128, max_validation_windows=64, batch=64, flow_epochs=1)
    return replace(base, window=small.window, model=small.model, train=train)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small network, and one trace in place of the public ones."""

    def views(folder: Path) -> list[Series]:
        if not folder.is_dir():
            raise InvalidInput(f"--traces={folder}: nothing is there")
        return [make_series(1, 600)]

    monkeypatch.setattr(pretraining, "prior_config", small_prior)
    monkeypatch.setattr(pretraining, "_views", views)


@pytest.fixture
def asked(tmp_path: Path) -> Pretraining:
    return Pretraining(tmp_path, tmp_path, n_made_up=12, epochs=2, seed=5)


def test_a_prior_and_its_card_are_written_the_same_each_time(asked: Pretraining) -> None:
    card = train_prior(asked, "cpu", is_resumed=False)
    raw = (asked.out / PRIOR_FILE).read_bytes()
    model = model_from_bytes(raw)
    assert card == json.loads((asked.out / CARD_FILE).read_text())
    assert (card["version"], card["n_bytes"]) == (model.version, len(raw))
    assert (card["seed"], card["n_made_up"] + card["n_trace_views"]) == (5, 13)
    assert card["command"] == "harmony models pretrain --epochs 2 --seed 5"
    train_prior(asked, "cpu", is_resumed=False)
    assert (asked.out / PRIOR_FILE).read_bytes() == raw
    assert sorted(path.name for path in asked.out.iterdir()) == [CARD_FILE, PRIOR_FILE]


class Killed(Exception):
    pass


def interrupt(
    asked: Pretraining, monkeypatch: pytest.MonkeyPatch, error: type[BaseException] = Killed
) -> None:
    """Begin a training that ends with an error once the state of its first epoch is kept."""

    def interrupted(*given: object, **how: object) -> object:
        def kept_once(raw: bytes) -> None:
            how["on_checkpoint"](raw)  # type: ignore[operator]
            raise error

        return fit_prior(*given, **{**how, "on_checkpoint": kept_once})  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(pretraining, "fit_prior", interrupted)
        train_prior(asked, "cpu", is_resumed=False)


def test_an_interrupted_training_goes_on_to_the_same_bytes(
    asked: Pretraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_prior(asked, "cpu", is_resumed=False)
    whole = (asked.out / PRIOR_FILE).read_bytes()
    (asked.out / PRIOR_FILE).unlink()
    with pytest.raises(Killed):
        interrupt(asked, monkeypatch)
    assert (asked.out / f"{PRIOR_FILE}.state").exists()
    train_prior(asked, "cpu", is_resumed=True)
    assert (asked.out / PRIOR_FILE).read_bytes() == whole
    assert not (asked.out / f"{PRIOR_FILE}.state").exists()


def test_how_to_go_on_is_told_whole_and_other_passes_are_refused(
    asked: Pretraining, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit):
        interrupt(asked, monkeypatch, KeyboardInterrupt)
    folder = asked.out
    options = f"--traces {folder} --out {folder} --epochs 2 --seed 5 --resume"
    assert f"go on with `harmony models pretrain {options}`" in capsys.readouterr().err
    with pytest.raises(InvalidInput, match=r"begun with n_epochs=2, now 1; go on with the same"):
        train_prior(replace(asked, epochs=1), "cpu", is_resumed=True)


def test_a_training_that_is_begun_anew_leaves_no_older_state(
    asked: Pretraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would be gone on with where the new one ends before its first epoch."""
    (asked.out / f"{PRIOR_FILE}.state").write_bytes(b"older")

    def ended(*_: object, **__: object) -> object:
        raise Killed

    monkeypatch.setattr(pretraining, "fit_prior", ended)
    with pytest.raises(Killed):
        train_prior(asked, "cpu", is_resumed=False)
    assert list(asked.out.iterdir()) == []


def test_what_cannot_be_used_is_refused_by_name(asked: Pretraining, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no folder"):
        train_prior(replace(asked, out=tmp_path / "none"), "cpu", is_resumed=False)
    with pytest.raises(InvalidInput, match=r"--resume: .* cannot be read"):
        train_prior(asked, "cpu", is_resumed=True)
    (asked.out / f"{PRIOR_FILE}.state").write_bytes(b"nonsense")
    with pytest.raises(InvalidInput, match="no checkpoint") as found:
        train_prior(asked, "cpu", is_resumed=True)
    assert isinstance(found.value.__cause__, CheckpointError)


def test_traces_that_are_not_there_are_told_before_the_work(
    asked: Pretraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make_up(*_: object) -> list[Series]:
        raise AssertionError("demand is made up first")

    monkeypatch.setattr(pretraining, "made_up_demand", make_up)
    with pytest.raises(InvalidInput, match=r"^--traces=.*: nothing is there"):
        train_prior(replace(asked, traces=asked.out / "none"), "cpu", is_resumed=False)
