"""How old decisions are, and what was passed over."""

from __future__ import annotations

import pytest

from services.lab.bench.fleet.freshness import Decided, Watched, by_class, freshness

STEP_S = 60.0
WATCHED = Watched(n_steps=6, step_s=STEP_S, first_end_s=1000.0)


def decided(workload: int, sla_class: str, steps: list[int], delay_s: float) -> list[Decided]:
    ends = {step: WATCHED.end_s(step) for step in steps}
    return [Decided(workload, sla_class, step, end, end + delay_s) for step, end in ends.items()]


def test_freshness_is_counted_from_the_end_of_the_step() -> None:
    found = freshness(decided(1, "gold", [0, 1], 3.0) + decided(2, "gold", [0], 9.0))
    assert (found["p50"], found["max"]) == (3.0, 9.0)
    assert freshness([])["p50"] is None


def test_what_is_decided_within_its_step_is_one_step_old_at_most() -> None:
    found = by_class(decided(1, "gold", list(range(6)), 5.0), {1: "gold"}, WATCHED)["gold"]
    assert found["age_steps"] == {"p50": 1.0, "p99": 1.0, "max": 1.0}
    assert (found["superseded"], found["greatest_run"]) == (0, 0)


def test_steps_between_two_decisions_were_passed_over() -> None:
    rows = decided(1, "gold", [0, 2, 4], 5.0) + decided(2, "bronze", [1, 5], 5.0)
    found = by_class(rows, {1: "gold", 2: "bronze", 3: "bronze"}, WATCHED)
    assert (found["gold"]["superseded"], found["gold"]["greatest_run"]) == (3, 1)
    assert (found["bronze"]["superseded"], found["bronze"]["greatest_run"]) == (4 + 6, 6)
    assert found["bronze"]["workloads"] == 2
    assert found["bronze"]["decided_each"] == {"min": 0, "max": 2}
    assert found["gold"]["superseded_share"] == pytest.approx(3 / 6)


def test_a_workload_that_nobody_decides_on_grows_old() -> None:
    found = by_class([], {1: "gold"}, WATCHED)["gold"]
    assert found["age_steps"]["max"] == 7.0


def test_what_was_decided_after_the_time_is_looked_at_is_not_there_yet() -> None:
    late = decided(1, "gold", [0], 2.5 * STEP_S)
    ages = by_class(late, {1: "gold"}, Watched(3, STEP_S, 1000.0))["gold"]["age_steps"]
    assert ages["max"] == 3.0
