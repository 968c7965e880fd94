"""Points at equal violation and at equal unserved demand, and choices made beforehand."""

from __future__ import annotations

import numpy as np
import pytest

from services.lab.bench.race.score import (
    RacePoints,
    RaceYard,
    fleet_choice,
    points,
    service_choice,
    service_points,
)
from services.simulator.native_run import NativeRun

YARD = RaceYard(*(np.full((2, 4), value) for value in (100.0, 1000.0, 50.0)))
"""Two services; warm-up, tuning and two counted blocks."""


def run(out_s, held_s, shortage=None):
    """A run from (G, W) figures of tuning and of each counted block."""
    out, held = (np.asarray(v, dtype=float) for v in (out_s, held_s))
    short = np.zeros_like(out) if shortage is None else np.asarray(shortage, dtype=float)

    def spread(v):
        return np.repeat(v[..., None], 4, axis=2)

    labels = tuple(str(g) for g in range(out.shape[0]))
    return NativeRun("made", labels, spread(out), spread(short), spread(held))


def test_points_are_means_over_services_of_the_counted_part():
    found = points(run([[1.0, 3.0]], [[50.0, 100.0]], [[10.0, 30.0]]), YARD)
    assert found.rate[0] == pytest.approx(0.02)
    assert found.cost[0] == pytest.approx(1.5)
    assert found.unserved[0] == pytest.approx(0.02)


def test_unserved_demand_is_read_off_where_the_cost_is():
    found = RacePoints(
        np.array([0.001, 0.1, 0.1]), np.array([3.0, 1.0, 2.0]), np.array([0.0, 0.04, 9.0])
    )
    assert found.at_rate(0.01) == pytest.approx(2.0)
    assert found.unserved_at_rate(0.01) == pytest.approx(0.02)
    assert np.isnan(found.unserved_at_rate(1e-4))


def test_after_a_setting_that_never_violates_both_are_read_off_the_rate_itself():
    found = RacePoints(np.array([0.0, 0.02]), np.array([3.0, 1.0]), np.array([0.0, 0.04]))
    assert found.at_rate(0.01) == pytest.approx(2.0)
    assert found.unserved_at_rate(0.01) == pytest.approx(0.02)


def test_a_frontier_of_unserved_demand_is_its_own():
    """Cheaper at equal violation, dearer at equal unserved demand: it gives up peaks whole."""
    deep = points(run([[1.0, 1.0], [0.5, 0.5]], [[50, 50], [90, 90]], [[200, 200], [5, 5]]), YARD)
    flat = points(run([[1.0, 1.0]], [[60, 60]], [[4, 4]]), YARD)
    assert deep.at_rate(0.01) < flat.at_rate(0.01)
    assert deep.at_unserved(0.005) > flat.at_unserved(0.005)


def test_a_fleet_has_one_setting_and_each_service_may_have_its_own():
    made = run([[0.5, 9.0], [0.1, 1.0]], [[50.0, 50.0], [100.0, 100.0]])
    fleet, single = fleet_choice(made, YARD, 0.01), service_choice(made, YARD, 0.01)
    assert (fleet.cost, fleet.is_kept) == (2.0, True)
    assert single.cost == pytest.approx(1.5)
    assert single.rate == pytest.approx(0.0075)
    assert single.is_kept


def test_where_no_setting_keeps_the_promise_the_nearest_is_taken():
    made = run([[9.0, 9.0], [5.0, 5.0]], [[50.0, 50.0], [60.0, 60.0]])
    for choice in (fleet_choice, service_choice):
        found = choice(made, YARD, 0.01)
        assert (found.rate, found.is_kept) == (pytest.approx(0.05), False)


def test_the_frontier_by_service_is_drawn_by_the_rate_it_was_chosen_for():
    made = run([[0.5, 9.0], [0.1, 1.0]], [[50.0, 50.0], [100.0, 100.0]])
    found = service_points(made, YARD)
    assert found.at_rate(0.0075) == pytest.approx(1.5)
    assert found.at_rate(0.06) == pytest.approx(1.0)


def test_a_service_without_known_demand_does_not_count():
    yard = RaceYard(YARD.known_s * [[1.0], [0.0]], YARD.load * [[1.0], [0.0]], YARD.oracle_s)
    found = points(run([[1.0, 0.0]], [[50.0, 500.0]]), yard)
    assert found.cost[0] == pytest.approx(1.0)


def test_a_service_without_demand_has_no_share_of_it_and_hides_nobody_elses():
    idle = RaceYard(YARD.known_s, np.array([[1000.0] * 4, [0.0] * 4]), YARD.oracle_s)
    made = run([[1.0, 0.0], [4.0, 0.0]], [[80.0, 50.0], [50.0, 50.0]], [[10.0, 0.0], [40.0, 0.0]])
    found = points(made, idle)
    np.testing.assert_allclose(found.unserved, [0.01, 0.04])
    assert found.at_unserved(0.04) == pytest.approx(1.0)
    assert fleet_choice(made, idle, 0.05).unserved == pytest.approx(0.04)
