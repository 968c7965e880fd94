"""The plot of the curves."""

from __future__ import annotations

from pathlib import Path

from services.lab.bench.fleet.plot import by_curve, plot_curves
from tests.unit.lab.bench.fleet.measured import document


def test_each_curve_has_a_panel(tmp_path: Path) -> None:
    points = [document(100, 1), document(1000, 1), document(1000, 28)]
    curves = by_curve(points)
    assert [one["workloads"] for one in curves["workloads"]] == [100, 1000]
    assert [one["history_days"] for one in curves["history_days"]] == [1, 28]
    assert list(by_curve(points[:1])) == ["workloads"]
    plot_curves(points, tmp_path / "a" / "curves.png")
    assert (tmp_path / "a" / "curves.png").stat().st_size > 0
