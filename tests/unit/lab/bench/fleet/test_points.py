"""Curves: which points, and what is kept of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.kernel.errors import InvalidInput
from services.lab.bench.fleet.points import Curves, largest, load_points, measure_points
from services.lab.bench.fleet.run import CycleOptions

BASE = CycleOptions(n_workloads=100, n_days=1, n_cycles=2, step_s=300)


def document(options: CycleOptions) -> dict[str, Any]:
    return {
        "workloads": options.n_workloads,
        "history_days": options.n_days,
        "workers": options.n_workers,
        "cycles": options.n_cycles,
        "step_s": options.step_s,
        "seed": options.seed,
        "cpu_s_per_1000": {},
    }


def test_a_point_that_two_curves_share_is_measured_once() -> None:
    points = Curves(BASE, (1000, 100), (28, 1)).points()
    sizes = [(one.n_workloads, one.n_days) for one in points]
    assert sizes == [(100, 1), (1000, 1), (100, 28)], "the least work first"


def test_what_was_measured_is_not_measured_again(tmp_path: Path) -> None:
    file, asked = tmp_path / "curves.json", []

    def measure(options: CycleOptions) -> dict[str, Any]:
        if options.n_workloads == 1000 and len(asked) == 1:
            raise KeyboardInterrupt
        asked.append(options.n_workloads)
        return document(options)

    with pytest.raises(KeyboardInterrupt):
        measure_points(Curves(BASE, (100, 1000)), file, measure)
    assert [one["workloads"] for one in load_points(file)] == [100]
    asked.append(0)  # the second time it is let through
    found = measure_points(Curves(BASE, (100, 1000)), file, measure)
    assert asked == [100, 0, 1000]
    assert [one["workloads"] for one in found["points"]] == [100, 1000]
    assert json.loads(file.read_text()) == found


def test_points_of_other_options_are_left_and_not_taken(tmp_path: Path) -> None:
    file = tmp_path / "curves.json"
    file.write_text(json.dumps({"points": [document(CycleOptions(n_workloads=100, step_s=60))]}))
    found = measure_points(Curves(BASE, (100,)), file, document)
    assert [one["step_s"] for one in found["points"]] == [60, 300]


def test_one_measurement_is_a_file_of_one_point(tmp_path: Path) -> None:
    file = tmp_path / "one.json"
    file.write_text(json.dumps(document(BASE)))
    assert load_points(file) == [document(BASE)]
    file.write_text("[]")
    with pytest.raises(InvalidInput, match="has no figures"):
        load_points(file)


def test_larger_fleets_are_reckoned_from_the_largest() -> None:
    sizes = ((100, 28), (1000, 1), (1000, 7), (300, 1))
    points = [document(CycleOptions(n_workloads=n, n_days=days)) for n, days in sizes]
    assert (largest(points)["workloads"], largest(points)["history_days"]) == (1000, 7)
