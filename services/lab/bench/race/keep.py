"""What a race made once, kept in a folder: runs of rivals, and what the forecaster said.

A file is named by a digest of all that it depends on, the code too. What is not found is made.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from forecaster.dataset import Origins
from services.lab.bench.decide.forecasts import RawForecasts
from services.lab.bench.decide.task import DecideTask
from services.lab.bench.race.entrants import Entrant
from services.simulator.course import Course
from services.simulator.native_run import NativePace, NativeRun

SOURCE = Path(__file__).parents[4]
RIVAL_CODE = ("services/simulator", "services/lab/bench/race/entrants.py")
FORECAST_CODE = ("forecaster", "services/lab/bench/forecast", "services/lab/bench/decide")
Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class RaceShelf:
    """A folder of arrays.

    Attributes:
        folder: Where; None: nothing is kept.
    """

    folder: Path | None = None

    def rival(
        self, entrant: Entrant, course: Course, pace: NativePace, make: Callable[[], NativeRun]
    ) -> NativeRun:
        """The run of a policy that reads no forecast."""
        policy = entrant.policy
        labels = tuple(policy.label(g) for g in range(policy.n_settings))
        about = (policy.name, repr(policy), labels, pace.cadence_s)
        key = _digest(about, [*_parts(course), pace.block], RIVAL_CODE)

        def arrays() -> Arrays:
            run = make()
            return {"out_s": run.out_s, "shortage": run.shortage, "held_s": run.held_s}

        found = self._found(f"rival-{policy.name}-{key}", arrays)
        return NativeRun(policy.name, labels, **found)

    def forecasts(
        self, task: DecideTask, seed: int, make: Callable[[], RawForecasts], prior: str = ""
    ) -> RawForecasts:
        """What the learners said at every origin of a race.

        Args:
            task: The race's steps.
            seed: Of the fit.
            make: Fits, and asks.
            prior: Version of what the fit begins with; empty: of nothing.
        """
        bench = task.forecast
        rows = [
            (one.workload, one.indicators, one.levels, one.demand_index, one.start_s, one.step_s)
            for one in bench.series
        ]
        ends = bench.train_ends, bench.validation_ends
        about = (bench.data, rows, ends, task.options, seed, prior)
        data = [part for one in bench.series for part in (one.values, one.observed)]
        key = _digest(about, data, FORECAST_CODE)

        def arrays() -> Arrays:
            raw = make()
            return {
                "which": raw.origins.which,
                "position": raw.origins.position,
                "model": raw.model,
                "last_value": raw.last_value,
                "paths": raw.paths,
            }

        found = dict(self._found(f"forecasts-{key}", arrays))
        origins = Origins(found.pop("which"), found.pop("position"))
        return RawForecasts(origins, **found)

    def _found(self, name: str, make: Callable[[], Arrays]) -> Arrays:
        if self.folder is None:
            return make()
        path = self.folder / f"{name}.npz"
        if path.exists():
            with np.load(path) as stored:
                return {key: stored[key] for key in stored.files}
        made = make()
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}")
        with unfinished.open("wb") as file:
            np.savez(file, **made)  # type: ignore[arg-type]
        os.replace(unfinished, path)  # whole or not at all
        return made


def _parts(course: Course) -> list[npt.NDArray[Any]]:
    """Everything that happens, as arrays."""
    values = [getattr(course, one.name) for one in fields(course)]
    return [np.asarray(v, dtype=float) for v in values if isinstance(v, np.ndarray | float)]


def _digest(about: object, data: list[npt.NDArray[Any]], code: tuple[str, ...]) -> str:
    found = sha256(repr((about, code_state(code))).encode())
    for part in data:
        found.update(np.ascontiguousarray(part).tobytes())
    return found.hexdigest()[:24]


@cache
def code_state(places: tuple[str, ...]) -> str:
    """Digest of the source files in places of this tree: other code may run otherwise."""
    found = sha256()
    for place in places:
        root = SOURCE / place
        for path in sorted(root.rglob("*.py")) if root.is_dir() else [root]:
            found.update(path.relative_to(SOURCE).as_posix().encode())
            found.update(path.read_bytes())
    return found.hexdigest()
