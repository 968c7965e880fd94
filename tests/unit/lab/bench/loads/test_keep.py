"""Forecasters are trained once, and their forecasts made once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from forecaster.config import ForecasterConfig
from services.lab.bench.forecast.task import BenchTask
from services.lab.bench.loads import keep
from services.lab.bench.loads.forecasts import LoadForecasts
from services.lab.bench.loads.keep import KeptForecasts
from services.lab.bench.loads.task import LoadTask
from tests.unit.lab.bench.loads.small import load_task


@dataclass(frozen=True)
class QuickArm:
    """Trains at once; remembers what on."""

    config: ForecasterConfig
    fitted: ClassVar[list[tuple[str, BenchTask]]] = []

    def fit(self, task: BenchTask, _seed: int, tell: Any) -> Any:
        tell("training")
        self.fitted.append((self.config.model.attention, task))
        return SimpleNamespace(model=self.config.model.attention)


@dataclass(frozen=True)
class QuickForecaster:
    """Forecasts at once."""

    task: LoadTask
    model: str
    load: int | None
    made: ClassVar[list[int | None]] = []

    def forecasts(self, _seed: int, _tell: Any) -> LoadForecasts:
        self.made.append(self.load)
        return LoadForecasts(4, np.full((2, 3, 3, 5, 4), 1.0 + (self.load or 0), np.float32))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QuickArm, "fitted", [])
    monkeypatch.setattr(QuickForecaster, "made", [])
    monkeypatch.setattr(keep, "ModelArm", QuickArm)
    monkeypatch.setattr(keep, "JointForecaster", QuickForecaster)
    monkeypatch.setattr(keep, "model_to_bytes", lambda model: model.encode())
    monkeypatch.setattr(keep, "model_from_bytes", lambda data: data.decode())


def kept(folder: Path | None, task: LoadTask | None = None) -> KeptForecasts:
    return KeptForecasts(task or load_task(), 7, lambda _line: None, folder)


def test_what_was_made_is_found_again(tmp_path: Path) -> None:
    made = kept(tmp_path)("load2")
    found = kept(tmp_path)("load2")
    assert QuickForecaster.made == [2]
    assert (found.first_step, made.first_step) == (4, 4)
    assert np.array_equal(found.paths, made.paths)
    assert [one.demand_index for one in QuickArm.fitted[0][1].series] == [2, 2, 2]


def test_another_split_takes_the_model_and_forecasts_anew(tmp_path: Path) -> None:
    kept(tmp_path)("joint")
    kept(tmp_path, load_task(40))("joint")
    assert len(QuickArm.fitted) == 1
    assert QuickForecaster.made == [None, None]


def test_nothing_is_kept_without_a_folder(tmp_path: Path) -> None:
    for _ in range(2):
        kept(None)("joint")
    assert len(QuickArm.fitted) == 2
    assert not list(tmp_path.iterdir())


def test_levels_off_are_trained_again_where_there_are_levels() -> None:
    flat = load_task()
    kept(None, flat)("no_levels")
    series = tuple(replace(one, levels=(1, 2, 3)) for one in flat.decide.forecast.series)
    decide = replace(flat.decide, forecast=replace(flat.decide.forecast, series=series))
    kept(None, replace(flat, decide=decide))("no_levels")
    assert [attention for attention, _ in QuickArm.fitted] == ["hierarchical", "full"]
    assert {one.further for one in QuickArm.fitted[0][1].series} == {(1, 2)}
