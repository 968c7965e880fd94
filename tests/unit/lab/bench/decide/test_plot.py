"""Frontier plots of documents."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.lab.bench.decide.document import to_document
from services.lab.bench.decide.plot import best_rivals, panel_of, plot_frontiers
from tests.unit.lab.bench.decide.results import make_result


@pytest.fixture(scope="module")
def document() -> dict:
    harder = make_result("b", trailing=((0.001, 2.0), (0.01, 1.2), (0.05, 1.0)))
    return to_document([make_result("a"), harder])


def test_a_panel_shows_harmony_the_best_rivals_and_hpa(document: dict) -> None:
    one = document["datasets"][0]
    assert best_rivals(one) == ["trailing_percentile", "hpa"]
    panel = panel_of(one)
    assert list(panel.curves) == ["harmony", "trailing_percentile", "hpa"]
    assert panel.deployed["harmony"] == [(0.012, 1.4), (0.04, 1.3)]
    assert panel.promises == [0.01, 0.05]


def test_the_plot_is_drawn(document: dict, tmp_path: Path) -> None:
    plot_frontiers(document, tmp_path / "deep" / "f.png")
    assert (tmp_path / "deep" / "f.png").stat().st_size > 10_000
