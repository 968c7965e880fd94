"""Forecasters and forecasts of a benchmark of several loads, made once and kept in a folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np

from forecaster import TrainedModel, model_from_bytes, model_to_bytes
from forecaster.config import ForecasterConfig, ModelConfig
from services.lab.bench.forecast.arm import Tell
from services.lab.bench.forecast.own_arms import ModelArm
from services.lab.bench.loads.forecasts import (
    JointForecaster,
    LoadForecasts,
    joint_task,
    single_task,
)
from services.lab.bench.loads.task import LoadTask

NO_LEVELS = "no_levels"
ONE_LOAD = "load"
MODEL, FORECASTS = "model", "npz"


@dataclass(frozen=True, slots=True)
class KeptForecasts:
    """Forecasts by the name of the forecaster (`ForecastsOf`).

    Attributes:
        task: The data.
        seed: Of training and paths.
        tell: Called with lines of progress.
        folder: Where models and forecasts are kept; None: nowhere.
    """

    task: LoadTask
    seed: int
    tell: Tell
    folder: Path | None = None

    def __call__(self, name: str) -> LoadForecasts:
        """Found, or made and kept."""
        if name == NO_LEVELS and self.has_one_level():
            # every indicator may read every other anyway: the same network, to the byte
            return self("joint")
        path = self._path(name, FORECASTS)
        if path is not None and path.exists():
            with np.load(path) as stored:
                return LoadForecasts(int(stored["first_step"]), stored["paths"])
        load = int(name.removeprefix(ONE_LOAD)) if name.startswith(ONE_LOAD) else None
        made = JointForecaster(self.task, self._model(name, load), load).forecasts(
            self.seed, self.tell
        )
        if path is not None:
            np.savez(path, first_step=made.first_step, paths=made.paths)
        return made

    def has_one_level(self) -> bool:
        """Whether all indicators are of one level, so that levels hide nothing."""
        levels = {level for one in self.task.decide.forecast.series for level in one.levels}
        return len(levels) == 1

    def _model(self, name: str, load: int | None) -> TrainedModel:
        """The trained forecaster."""
        path = self._path(name, MODEL)
        if path is not None and path.exists():
            return model_from_bytes(path.read_bytes())
        config = ForecasterConfig()
        if name == NO_LEVELS:
            config = replace(config, model=replace(ModelConfig(), attention="full"))
        bench = joint_task(self.task) if load is None else single_task(self.task, load)

        def tell(line: str) -> None:
            self.tell(f"{name}: {line}")

        model = ModelArm(config).fit(bench, self.seed, tell).model
        if path is not None:
            path.write_bytes(model_to_bytes(model))
        return model

    def _path(self, name: str, ending: str) -> Path | None:
        """File of a forecaster of this very task and seed; None where nothing is kept.

        A model depends on the series alone, forecasts on the split and the scale too.
        """
        if self.folder is None:
            return None
        self.folder.mkdir(parents=True, exist_ok=True)
        task = self.task
        what = sha256(repr((task.decide.names, task.names)).encode())
        for one in task.decide.forecast.series:
            what.update(one.values.tobytes())
        if ending == FORECASTS:
            what.update(repr(task.decide.options).encode())
            what.update(task.loads.tobytes())
        start = f"{task.decide.forecast.data}-{self.seed}-{what.hexdigest()[:12]}"
        return self.folder / f"{start}-{name}.{ending}"
