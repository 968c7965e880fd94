"""Frontier plots: what they leave out and where the cost axis ends."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from services.backtest.frontier_plot import COST_RANGE, RATE_RANGE, Panel, draw, pareto
from services.kernel.errors import InvalidInput
from tests.unit.kernel.full_disk import full_disk

PANEL = Panel(
    "a fleet",
    {"harmony": [(0.01, 2.0), (0.1, 1.0)], "hpa": [(0.0, 9.0), (0.005, 3.0), (0.2, 1.5)]},
    {"hpa": [(0.02, 2.5)]},
    promises=[0.01],
    cost_label="cost, USD",
)


def test_a_frontier_is_what_no_point_beats() -> None:
    points = [(0.2, 1.0), (0.01, 3.0), (0.05, 3.5), (0.1, 1.5), (0.01, 2.5)]
    assert pareto(points) == [(0.01, 2.5), (0.1, 1.5), (0.2, 1.0)]


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Figures that were saved, in order."""
    found: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, *args: object, **options: object) -> None:
        found.append(figure)
        save(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return found


def test_a_panel_marks_the_promise_and_ends_above_the_dearest_curve_at_it(
    figures: list[Figure], tmp_path: Path
) -> None:
    draw([PANEL] * 4, tmp_path / "new" / "f.png")
    assert (tmp_path / "new" / "f.png").stat().st_size > 10_000
    axes = figures[0].axes
    assert [axis.axison for axis in axes] == [True] * 4 + [False] * 2
    assert axes[0].get_ylabel() == "cost, USD"
    assert axes[0].get_ylim() == (0.0, pytest.approx(COST_RANGE * 3.0))
    promise, harmony, _, hpa, deployed = axes[0].lines
    assert list(promise.get_xdata()) == [0.01, 0.01]
    assert harmony.get_linewidth() > hpa.get_linewidth()
    assert hpa.get_xdata()[0] == RATE_RANGE[0]  # a rate of zero has no place on a logarithmic axis
    assert list(deployed.get_ydata()) == [2.5]


def test_an_axis_without_a_curve_at_the_promise_has_no_end_of_its_own(
    figures: list[Figure], tmp_path: Path
) -> None:
    draw([Panel("none", {"hpa": [(0.2, 1.5)]}, promises=[0.01])], tmp_path / "f.png")
    assert figures[0].axes[0].get_ylim()[1] < COST_RANGE * 1.5


def test_a_panel_in_which_nothing_costs_anything_can_be_drawn(
    figures: list[Figure], tmp_path: Path
) -> None:
    draw([Panel("free", {"hpa": [(0.001, 0.0)]}, promises=[0.01])], tmp_path / "f.png")
    low, high = figures[0].axes[0].get_ylim()
    assert low < high


def test_a_picture_is_drawn_as_its_name_says(tmp_path: Path) -> None:
    for name, start in (("f.PNG", b"\x89PNG"), ("f.svg", b"<?xml"), ("f.pdf", b"%PDF")):
        draw([PANEL], tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(start)


def test_a_picture_that_finds_no_room_leaves_the_old_one_and_is_told(tmp_path: Path) -> None:
    """Half of it stood where the old one had been, under a traceback."""
    file = tmp_path / "f.png"
    file.write_bytes(b"old")
    with full_disk(1000), pytest.raises(InvalidInput, match=r"f\.png: cannot be written: "):
        draw([PANEL], file)
    assert file.read_bytes() == b"old"
