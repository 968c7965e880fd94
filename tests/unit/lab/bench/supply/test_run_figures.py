"""Which starts tell of the lead times' interval."""

from __future__ import annotations

from services.lab.bench.supply.run_figures import coverage_of
from tests.unit.lab.bench.supply.small import cluster


def test_only_starts_whose_lead_time_was_told_and_that_ended_count() -> None:
    found = cluster()
    early, *others = found.scale([6, 1])
    early.expected_s = (1.0, 10.0)  # it takes 30 s
    for each in others[:2]:
        each.expected_s = (10.0, 60.0)
    found.advance(60.0)
    assert coverage_of(found, 0.0, 60.0) == (3, 2)
    assert coverage_of(found, 1.0, 60.0) == (0, 0)


def test_a_start_that_is_late_counts_before_it_has_ended() -> None:
    found = cluster()
    made = found.scale([9, 1])
    for each in made:
        each.expected_s = (1.0, 31.0)
    found.advance(30.0)
    assert coverage_of(found, 0.0, 60.0) == (4, 4)
    found.advance(60.0)
    assert coverage_of(found, 0.0, 60.0) == (7, 4)


def test_one_that_was_taken_away_says_something_only_if_it_was_late_by_then() -> None:
    found = cluster()
    (only,) = found.scale([3, 1])
    only.expected_s = (1.0, 15.0)
    found.advance(10.0)
    found.scale([2, 1])
    found.advance(40.0)
    assert coverage_of(found, 0.0, 60.0) == (0, 0)
    only.expected_s = (1.0, 5.0)
    assert coverage_of(found, 0.0, 60.0) == (1, 0)
