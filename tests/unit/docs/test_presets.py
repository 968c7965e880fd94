"""The page of presets says what the presets are, and where they were read."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.kernel.domain.objective import SERIES_PREFIX
from services.kernel.domain.presets import LOSS_WORDS, PRESETS, Preset

REPO = Path(__file__).parents[3]
PAGE = (REPO / "docs" / "presets.md").read_text()


def rows(name: str) -> list[list[str]]:
    """Cells of the rows about one preset."""
    lines = [line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.name)
def test_both_tables_have_the_preset(preset: Preset) -> None:
    offered, read = rows(preset.name)
    assert offered[1:5] == [
        preset.program,
        preset.place,
        preset.counts,
        " ".join(goal.goal for goal in preset.goals),
    ]
    assert read[1] == "<br>".join(preset.sources)


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.name)
def test_the_losses_are_named(preset: Preset) -> None:
    plurals = {"error": "errors", "refusal": "refusals", "abort": "aborts"}
    assert set(plurals) == set(LOSS_WORDS)
    offered, _ = rows(preset.name)
    named = {kind for kind, plural in plurals.items() if plural in offered[5]}
    assert named == {loss.kind for loss in preset.losses}


def test_no_row_is_of_a_preset_that_is_gone() -> None:
    named = {line.split("`")[1] for line in PAGE.splitlines() if line.startswith("| `")}
    named = {name for name in named if not name.startswith(SERIES_PREFIX)}
    assert named == set(PRESETS)
