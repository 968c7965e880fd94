"""Candidates of wide ranges lie around the very count that is chosen."""

from __future__ import annotations

import numpy as np

from decider import DecideConfig, Limits, ReplicaState
from decider.planning.fallback import Standing
from decider.planning.prepared import MOST_ROUNDS, PreparedShard, settled_grid
from decider.tables.candidates import CandidateGrid
from decider.types import IntArray
from tests.unit.decider.shards import noisy, shard, workload

FRESH = Standing("forecast", "", 0, 0.0, None)


def prepared() -> PreparedShard:
    """A small service, and one that runs 40 replicas where 3,000 may be needed."""
    large = workload("large", replicas=ReplicaState(40, 40), limits=Limits(1, 100_000))
    owners = [workload("small"), large]
    request = shard(np.stack([noisy(90.0), noisy(30_000.0, 1)]), owners)
    return PreparedShard.of(request, [FRESH, FRESH], DecideConfig())


def nearest(grid: CandidateGrid, row: int, count: int) -> int:
    return int(grid.counts[row, grid.row_index(row, np.array(count))])


def test_only_wide_ranges_are_planned_for_it_until_the_neighbours_are_candidates() -> None:
    asked: list[list[int]] = []

    def first_of(part: PreparedShard, grid: CandidateGrid, rows: IntArray) -> IntArray:
        asked.append(rows.tolist())
        return np.array([nearest(grid, 0, 2_345)])

    grid = settled_grid(prepared(), first_of)
    assert asked == [[1]] * len(asked)
    assert 1 < len(asked) < MOST_ROUNDS
    assert {2_344, 2_345, 2_346} <= set(grid.counts[1].tolist())
    assert grid.is_uneven.tolist() == [False, True]
    own = slice(0, int(grid.last[0]) + 1)
    first = prepared().candidates.grid()
    np.testing.assert_array_equal(grid.counts[0, own], first.counts[0, own])


def test_what_never_settles_comes_to_an_end() -> None:
    asked = []

    def first_of(part: PreparedShard, grid: CandidateGrid, rows: IntArray) -> IntArray:
        asked.append(rows)
        return np.array([nearest(grid, 0, 2_345 if len(asked) % 2 else 900)])

    settled_grid(prepared(), first_of)
    assert len(asked) == MOST_ROUNDS


def test_before_the_revision_nothing_is_planned_for_it() -> None:
    whole = PreparedShard.of(prepared().request, [FRESH, FRESH], DecideConfig(revision=1))

    def first_of(part: PreparedShard, grid: CandidateGrid, rows: IntArray) -> IntArray:
        raise AssertionError("an evenly spaced range has no centre")

    grid = settled_grid(whole, first_of)
    assert not grid.is_uneven.any()
    assert grid.stride[1] > 1
