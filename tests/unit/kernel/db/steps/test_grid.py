"""Steps of several layouts in one array."""

from __future__ import annotations

import numpy as np

from services.kernel.db.steps.blocks import GAP, SEEN, StepBlock, from_us
from services.kernel.db.steps.grid import (
    NamedWorkload,
    WantedSteps,
    empty_grid,
    fill_grid,
    spans_of,
)
from services.kernel.db.steps.reading import Span

MINUTE = 60_000_000
WANTED = WantedSteps(
    (NamedWorkload(3, ("a", "b")), NamedWorkload(5, ("b",))),
    np.array([0, 1, 2, 7]) * MINUTE,
    MINUTE,
)


def test_steps_without_gaps_are_one_stretch() -> None:
    assert WANTED.spans == [Span(from_us(0), from_us(2 * MINUTE)), Span(*[from_us(7 * MINUTE)] * 2)]
    assert spans_of(np.array([], dtype=np.int64), MINUTE) == []


def test_each_value_finds_its_place_and_what_is_not_wanted_none() -> None:
    block = StepBlock(
        ("c", "b", "a"),
        np.array([3, 3, 4, 5, 5, 9]),
        np.array([1, 7, 1, 0, 3, 0]) * MINUTE,
        np.arange(18, dtype=np.float32).reshape(6, 3),
        np.full((6, 3), SEEN, dtype=np.uint8),
    )
    block.states[1, 1] = GAP
    off_grid = block.where(np.array([0]))
    off_grid.at_us[0] += MINUTE // 2
    grid = empty_grid(WANTED)
    fill_grid(grid, WANTED, [block, off_grid])
    assert grid.shape == WANTED.shape == (2, 4, 2)
    places = [tuple(place) for place in np.argwhere(~np.isnan(grid)).tolist()]
    assert {place: float(grid[place]) for place in places} == {
        (0, 1, 0): 2.0,
        (0, 1, 1): 1.0,
        (0, 3, 0): 5.0,
        (1, 0, 0): 10.0,
    }
