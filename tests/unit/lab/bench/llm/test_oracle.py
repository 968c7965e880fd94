"""The search for the cheapest schedule."""

from __future__ import annotations

import numpy as np
import pytest

from services.lab.arena.loop import SERVE
from services.lab.bench.llm.oracle import (
    OracleGoal,
    Schedule,
    TriedSchedule,
    cheapest_schedule,
    expected_missed,
    search_schedules,
)
from services.lab.bench.llm.score import RunMinutes

NEED = np.array([2, 2, 2, 6, 6, 2, 2, 2, 2, 2])
GOAL = OracleGoal(0.95, startup_s=30.0, most=8, first_minute=2)


def run(schedule: Schedule) -> RunMinutes:
    """100 requests a minute; a third of them misses for each worker that lacks."""
    requests, held = np.full(NEED.size, 100), sum(schedule.values())
    missed = {pool: np.clip(33 * (NEED - counts), 0, 100) for pool, counts in schedule.items()}
    good = requests - np.minimum(sum(missed.values()), 100)
    return RunMinutes(requests, good, missed, 60.0 * held, np.zeros(NEED.size, np.int64))


def tried(count: int, pools: tuple[str, ...] = (SERVE,)) -> TriedSchedule:
    counts = dict.fromkeys(pools, np.full(NEED.size, count))
    return TriedSchedule(counts, run(counts))


def test_expectations_go_through_what_was_seen_and_fall_with_workers() -> None:
    missed = expected_missed([tried(1), tried(4), tried(6)], SERVE, 8)
    assert missed.shape == (10, 8)
    assert (np.diff(missed, axis=1) <= 1e-9).all()
    assert missed[3, 3] == pytest.approx(66, rel=0.01)
    assert missed[0, 3] == pytest.approx(0.01, rel=0.01)


def test_dear_misses_are_avoided_and_a_worker_that_starts_costs() -> None:
    missed = np.clip(33.0 * (NEED[:, None] - np.arange(1, 9)[None, :]), 0, 100)
    none = cheapest_schedule({SERVE: missed}, GOAL, 0.0)[SERVE]
    assert (none[2:] == NEED[2:]).all()
    all_of_them = cheapest_schedule({SERVE: missed}, GOAL, 1e9)[SERVE]
    assert all_of_them.tolist() == [1] * 10


def test_the_search_finds_the_schedule_of_known_needs() -> None:
    found = search_schedules([tried(2), tried(4), tried(8)], run, GOAL)
    kept = [one for one in found if one.minutes.part(2, 10).goodput >= GOAL.goodput]
    assert kept
    least = min(one.minutes.part(2, 10).gpu_hours for one in kept)
    assert least <= 1.1 * NEED[2:].sum() / 60.0
    assert len(found) == GOAL.n_tries


def test_two_pools_are_bought_at_one_price_of_a_miss() -> None:
    pools = ("prefill", "decode")
    found = search_schedules([tried(count, pools) for count in (2, 4, 8)], run, GOAL)
    kept = [one for one in found if one.minutes.part(2, 10).goodput >= GOAL.goodput]
    assert kept
    least = min(one.minutes.part(2, 10).gpu_hours for one in kept)
    assert least <= 1.1 * 2 * NEED[2:].sum() / 60.0
