"""Rows of plain values: what JSON shows of presets and of a page."""

from __future__ import annotations

import json

from services.cli.preset_rows import fit_row, goal_rows, loss_rows, summary
from services.kernel.domain.presets import PRESETS
from tests.unit.kernel.domain.presets.scraped import fit


def test_every_preset_is_plain() -> None:
    for preset in PRESETS.values():
        row = {**summary(preset), "goals": goal_rows(preset), "losses": loss_rows(preset)}
        assert json.loads(json.dumps(row)) == row
        assert row["n_indicators"] == len(preset.indicators)


def test_milliseconds_are_said() -> None:
    (goal,) = goal_rows(PRESETS["triton"])
    assert (goal["unit_s"], goal["edges_s"]) == (0.001, [0.1, 0.5, 2.0, 5.0])


def test_a_fit_is_plain_and_beyond_the_last_edge_is_none() -> None:
    row = fit_row(fit("kserve", "kserve", e2e=60.0))
    assert json.loads(json.dumps(row)) == row
    (goal,) = row["goals"]
    assert goal["threshold"] == {
        "threshold_s": 60.0,
        "below_s": 10.0,
        "above_s": None,
        "is_exact": False,
    }
    assert (row["is_fit"], row["n_found"], row["n_indicators"]) == (True, 3, 3)
