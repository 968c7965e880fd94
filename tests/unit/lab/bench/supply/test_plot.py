"""The plot has a panel for each fleet, and a curve for each policy that ran."""

from __future__ import annotations

from pathlib import Path

from services.lab.bench.supply.options import HPA
from services.lab.bench.supply.plot import panel_of, plot_supply
from services.lab.bench.supply.run import SupplyCell
from services.simulator.policies.rivals import HARMONY
from tests.unit.lab.bench.supply.small import setting

CELL = SupplyCell(
    "made",
    7,
    300.0,
    (
        setting(HPA, 0.02, 80.0),
        setting(HPA, float("nan"), 80.0),
        setting(HARMONY, 0.01, 90.0, promise=0.01),
    ),
)


def test_a_panel_has_who_ran_and_marks_harmony() -> None:
    panel = panel_of(CELL)
    assert panel.curves == {HPA: [(0.02, 80.0)], HARMONY: [(0.01, 90.0)]}
    assert list(panel.deployed) == [HARMONY]
    assert "5 min" in panel.title


def test_the_plot_is_written(tmp_path: Path) -> None:
    plot_supply([CELL, CELL], tmp_path / "s.png")
    assert (tmp_path / "s.png").stat().st_size > 5_000
