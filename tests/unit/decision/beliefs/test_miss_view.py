"""When a workload's response is learned, and learned anew."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from decider import MissDraws, MissPrior
from services.decision.beliefs.miss_view import MissView, draws_of
from services.decision.rows.translate import from_draws
from tests.unit.decision.beliefs.test_miss_data import member, steps

AT = datetime(2026, 1, 6, 12, 0, tzinfo=UTC)


def row(n: int, method: str = "particles", at: datetime = AT) -> Any:
    draws = MissPrior.stated(10.0, 0.0, 0.05).draws(64).to_array()
    summary = {"method": method, "requests_per_step": 77.0}
    return {
        "n_observations": n,
        "summary": summary,
        "draws": from_draws(draws.ravel()),
        "fitted_at": at,
    }


def view(stored: Any, n_since: int, needs_refit: bool = False) -> MissView:
    return MissView(member(), stored, steps(n_since), needs_refit=needs_refit)


@pytest.mark.parametrize(
    ("stored", "n_since", "needs_refit", "wants"),
    [
        (None, 4, False, False),
        (None, 5, False, True),
        (row(40), 19, False, False),
        (row(40), 20, False, True),
        (row(40), 0, False, False),
        (row(40), 1, True, True),
        (row(100), 9, True, False),
        (row(100), 10, True, True),
        (row(40, "pymc"), 500, False, False),
        (row(40, "pymc"), 3, True, True),
    ],
)
def test_it_learns_what_is_new_enough(
    stored: Any, n_since: int, needs_refit: bool, wants: bool
) -> None:
    assert view(stored, n_since, needs_refit).wants_to_learn() == wants


def test_those_without_any_learn_first_then_the_oldest() -> None:
    early, late = row(5), row(5, at=AT.replace(hour=13))
    ages = [view(stored, 9).age() for stored in (None, early, late)]
    assert ages == sorted(ages)


def test_draws_without_new_steps_stay_as_they_are() -> None:
    one = view(row(40), 0)
    one.reweight()
    assert one.draws is not None
    before, after = (draws.capacity for draws in (draws_of(row(40)), one.draws))
    np.testing.assert_array_equal(np.sort(before), np.sort(after))
    assert not one.needs_refit


def test_steps_without_misses_move_the_draws_up() -> None:
    one = view(row(40), 8)
    one.reweight()
    assert one.draws is not None
    before = np.median(draws_of(row(40)).load_within(0.05))
    assert np.median(one.draws.load_within(0.05)) >= before


def test_the_size_of_a_step_is_as_when_it_was_learned_until_there_are_some() -> None:
    assert view(row(40), 4).requests_per_step() == 77.0
    assert view(row(40), 5).requests_per_step() == 100.0


def test_draws_are_as_wide_as_the_loads_that_they_were_learned_for() -> None:
    alone = MissPrior.stated(10.0, 0.0, 0.05).draws(64)
    further = np.column_stack([2.0 * alone.capacity, 3.0 * alone.capacity])
    draws = MissDraws(
        alone.capacity, alone.slope, alone.floor, alone.concentration, np.full(64, 2.0), further
    )
    stored = row(40)
    stored["summary"]["learned_for"] = {"further": ["tokens", "kv"]}
    stored["draws"] = from_draws(draws.to_array().ravel())
    found = draws_of(stored)
    assert found.n_further == 2
    np.testing.assert_allclose(found.further, further, rtol=1e-6)
    assert draws_of(row(40)).n_further == 0
