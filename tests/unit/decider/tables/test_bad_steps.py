"""The tabulated tail against the tail itself."""

from __future__ import annotations

import numpy as np
import pytest

from decider.belief.misses import bad_probability, log_odds_width
from decider.tables.bad_steps import _table, tabulate

CONCENTRATION = np.geomspace(1e-3, 1e10, 120)


@pytest.mark.parametrize("tolerance", [0.01, 0.05, 0.5])
def test_tables_are_near_the_tail_wherever_it_turns(tolerance: float) -> None:
    tables = tabulate(CONCENTRATION, tolerance)
    index = tables.index_of(CONCENTRATION)
    middle = np.log(tolerance / (1 - tolerance))
    log_odds = middle + log_odds_width(CONCENTRATION, tolerance)[:, None] * np.linspace(-9, 9, 500)
    found = tables.probability(log_odds, index)
    exact = bad_probability(log_odds, CONCENTRATION[:, None], tolerance)
    assert np.abs(found - exact).max() < 1.5e-3
    assert np.abs(found - exact).mean() < 2e-4
    assert (np.diff(found, axis=1) >= 0).all()


def test_far_away_all_is_sure() -> None:
    tables = tabulate(CONCENTRATION, 0.05)
    ends = np.tile([-np.inf, -1e9, 1e9, np.inf], (CONCENTRATION.size, 1))
    found = tables.probability(ends, tables.index_of(CONCENTRATION))
    assert (found[:, :2] == 0).all()
    assert found[:, 2:] == pytest.approx(1.0, abs=1e-6)


def test_a_class_does_not_depend_on_which_others_are_asked_for() -> None:
    together, alone = tabulate(CONCENTRATION, 0.05), tabulate(CONCENTRATION[7:8], 0.05)
    at = together.index_of(CONCENTRATION[7:8])[0]
    assert np.array_equal(together.values[at], alone.values[0])
    assert (together.low[at], together.cell[at]) == (alone.low[0], alone.cell[0])


def test_a_class_is_tabulated_once_for_all_decisions() -> None:
    concentration = np.exp(np.linspace(2.0, 6.0, 50))
    first = tabulate(concentration, 0.013)
    before = _table.cache_info().misses
    again = tabulate(concentration[::-1], 0.013)
    assert _table.cache_info().misses == before
    assert again.values.tobytes() == first.values.tobytes()
    assert (again.low.tobytes(), again.cell.tobytes()) == (
        first.low.tobytes(),
        first.cell.tobytes(),
    )
