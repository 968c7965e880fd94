"""The plot."""

from __future__ import annotations

from pathlib import Path

from services.lab.bench.llm.cells import cells_of
from services.lab.bench.llm.plot import panel_of, plot_cells
from tests.unit.lab.bench.llm.race_runs import family


def test_harmony_is_first_and_marked(tmp_path: Path) -> None:
    cells = cells_of([*family("trail", 2.0), *family("harmony", 1.5), *family("oracle", 1.0)])
    panel = panel_of(cells[0], [0.99])
    assert list(panel.curves) == ["harmony", "oracle", "trail"]
    assert list(panel.deployed) == ["harmony"]
    assert panel.rate_label == "share of requests that missed a goal"
    plot_cells(cells, [0.99], tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes()[:4] == b"\x89PNG"
