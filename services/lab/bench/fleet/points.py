"""Curves: the same measurement at several sizes, kept point by point, so that it can go on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from services.kernel.errors import InvalidInput
from services.lab.bench.fleet.run import CycleOptions

Measure = Callable[[CycleOptions], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Curves:
    """What is varied, each by itself.

    Attributes:
        base: Options of every point.
        workloads: Sizes of the fleet, on the base's days.
        days: Days of history, of the base's workloads.
    """

    base: CycleOptions
    workloads: tuple[int, ...] = ()
    days: tuple[int, ...] = ()

    def points(self) -> list[CycleOptions]:
        """Options of each point, the smallest first."""
        found = [replace(self.base, n_workloads=n) for n in self.workloads]
        found += [replace(self.base, n_days=n) for n in self.days]
        return sorted(dict.fromkeys(found), key=lambda one: one.n_workloads * one.n_days)


def measure_points(curves: Curves, file: Path | None, measure: Measure) -> dict[str, Any]:
    """Measure what the file lacks; the document of `--json`: `points`, one document each.

    Args:
        curves: The points.
        file: What was measured already, by the same options; each point is added as it is done.
        measure: Measures one point.

    Raises:
        InvalidInput: The file holds something else.
    """
    points = load_points(file) if file is not None and file.exists() else []
    for options in curves.points():
        if not any(_is_of(point, options) for point in points):
            points.append(measure(options))
            if file is not None:
                _write(file, {"points": points})
    return {"points": points}


def load_points(file: Path) -> list[dict[str, Any]]:
    """The points of a file, which may hold one measurement alone.

    Raises:
        InvalidInput: It holds no figures of this command.
    """
    try:
        found = json.loads(file.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise InvalidInput(
            f"{file}: cannot be read as JSON ({error}); give a file that `harmony bench fleet "
            "--json` has written"
        ) from error
    points = found.get("points", [found]) if isinstance(found, dict) else []
    if not points or not all("cpu_s_per_1000" in point for point in points):
        raise InvalidInput(f"{file}: has no figures of `harmony bench fleet --json`")
    return list(points)


def largest(points: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The point from which larger fleets are reckoned: most workloads, then most days."""
    return max(points, key=lambda point: (point["workloads"], point["history_days"]))


def _is_of(point: Mapping[str, Any], options: CycleOptions) -> bool:
    """Check whether a point was measured by the same options; of whichever commit it is."""
    return (
        point["workloads"],
        point["history_days"],
        point["workers"],
        point["cycles"],
        point["step_s"],
        point["seed"],
        point.get("overload", {}).get("factor", 0.0),
        point.get("objectives", 0.0),
    ) == (
        options.n_workloads,
        options.n_days,
        options.n_workers,
        options.n_cycles,
        options.step_s,
        options.seed,
        options.overload,
        options.objectives,
    )


def _write(file: Path, document: Mapping[str, Any]) -> None:
    """Whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f"{file.name}.{os.getpid()}")
    unfinished.write_text(json.dumps(document, indent=2) + "\n")
    unfinished.replace(file)
