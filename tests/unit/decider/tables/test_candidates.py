"""Candidate grids hold the counts worth considering."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.special import ndtri

from decider import DecideConfig, ReplicaState, RiskState, StepQuantiles, decide_shard
from decider.planning.fallback import Standing
from decider.planning.outlook import look_ahead
from decider.stored.replay import decision_bytes
from decider.tables.candidates import CandidateRange
from decider.types import Limits, ShardRequest
from tests.unit.decider.pool_cases import service, two_pools
from tests.unit.decider.shards import NOW_S, noisy, shard, workload
from tests.unit.decider.tables.soft_cases import response, sla, soft_shard

PLAIN = DecideConfig(reactive_floor_ratio=0.0, n_pairs=1)
NO_FLOOR = DecideConfig(reactive_floor_ratio=0.0)
LEVELS = np.array([0.005, 0.05, 0.25, 0.5, 0.75, 0.95, 0.98, 0.99, 0.995])


def test_a_coarse_grid_serves_wide_ranges_within_bounds() -> None:
    paths = noisy(50_000.0, cv=0.3)
    owner = workload(replicas=ReplicaState(10, 10), limits=Limits(1, 20_000))
    (decision,) = decide_shard(shard(paths, [owner]), replace(PLAIN, max_candidates=32), NOW_S)
    need = np.quantile(np.ceil(paths / 10), 0.99)
    assert need * 0.8 <= decision.final <= need * 1.3


def spiked(most: int, *, spike: float = 60.0, running: int = 7) -> ShardRequest:
    """A steady demand of three replicas, of which one step in 200 may be a spike."""
    values = 300.0 * np.exp(0.05 * ndtri(LEVELS))
    values[-1] = 300.0 * spike
    owner = workload(
        replicas=ReplicaState(running, running),
        limits=Limits(1, most),
        risk=RiskState(log_multiplier=1.0),
    )
    steps = StepQuantiles(LEVELS, np.repeat(values[:, None], 6, axis=1))
    paths = np.full((50, 6), 300.0)
    return replace(shard(paths, [owner], capacity=100.0), quantiles=(steps,))


@pytest.mark.parametrize("most", [500, 5_000, 1_000_000])
@pytest.mark.parametrize("running", [1, 7, 33])
def test_neither_the_bound_nor_a_far_tail_moves_a_count(most: int, running: int) -> None:
    """Of 500 replicas each 8th was a candidate: 9 in place of 4, and 7 were judged as none."""
    narrow, wide = (
        decide_shard(spiked(bound, running=running), NO_FLOOR, NOW_S)[0] for bound in (40, most)
    )
    assert narrow.raw == wide.raw == 4
    assert wide.risk_before == pytest.approx(narrow.risk_before, rel=0.03)
    assert wide.risk_after == pytest.approx(narrow.risk_after, rel=0.03)


def test_before_the_revision_a_wide_range_was_spaced_evenly() -> None:
    (decision,) = decide_shard(spiked(500), replace(NO_FLOOR, revision=1), NOW_S)
    assert (decision.raw, decision.risk_before) == (9, 1.0)


@given(
    low=st.integers(0, 500),
    wide=st.sampled_from([63, 64, 300, 5_000, 2**31 - 500]),
    size=st.sampled_from([4, 16, 64, 128]),
    data=st.data(),
)
@settings(max_examples=150, deadline=None)
def test_a_wide_range_keeps_its_ends_what_runs_and_all_around_the_centre(
    low: int, wide: int, size: int, data: st.DataObject
) -> None:
    top = low + wide
    counts = st.integers(low, top)
    spec, centre, least = data.draw(counts), data.draw(counts), data.draw(counts)
    ready = data.draw(st.integers(low, spec))
    body = np.sort([data.draw(counts), data.draw(counts)])
    found = CandidateRange(
        np.array([low]),
        np.array([top]),
        np.array([[least, top]]),
        np.array([[spec, ready]]),
        body[None],
        size,
        np.array([top]),
    )
    grid = found.grid(np.array([centre]))
    own = grid.counts[0, : grid.last[0] + 1]
    assert own.size <= max(size, 16)
    assert (np.diff(grid.counts[0]) > 0).all()
    assert (own[0], own[-1], grid.top[0]) == (low, top, top)
    assert grid.counts[0, np.argmax(grid.is_allowed[0])] == least
    if wide < size:
        np.testing.assert_array_equal(own, np.arange(low, top + 1))
    assert {spec, ready} <= set(own.tolist())
    around = np.arange(max(low, centre - 2), min(top, centre + 2) + 1)
    assert set(around.tolist()) <= set(own.tolist())
    assert grid.has_neighbours(np.array([centre])).all()
    asked = np.array([[data.draw(st.integers(0, top + 10)) for _ in range(8)]])
    below = [max([n for n in own.tolist() if n <= one], default=low) for one in asked[0].tolist()]
    assert grid.counts[0, grid.index_of(asked)[0]].tolist() == below
    np.testing.assert_array_equal(grid.row_index(0, asked[0]), grid.index_of(asked)[0])


def wide_case(seed: int, kind: str, most: int) -> ShardRequest:
    """A large service whose price of risk is carried, with a few paths far above the others."""
    rng = np.random.default_rng(seed)
    level = 10.0 ** rng.uniform(3.0, 4.0)
    cv = rng.uniform(0.03, 0.3)
    paths = level * np.exp(cv * rng.standard_normal((200, 6)))
    paths[0] *= rng.uniform(1.0, 8.0)
    spec = int(level / 10.0 * rng.lognormal(0.0, 0.4))
    ready = int(spec * rng.choice([1.0, 0.8]))
    owner = workload(
        replicas=ReplicaState(spec, ready),
        limits=Limits(1, most),
        risk=RiskState(log_multiplier=float(np.log(level / 10.0 * rng.uniform(0.5, 10.0)))),
    )
    if kind == "response":
        return soft_shard(paths, [response(seed)], [replace(owner, sla=sla("DemandFraction"))])
    request = shard(paths, [owner])
    if kind == "law":
        values = level * np.exp(cv * ndtri(LEVELS))
        values[-1] *= rng.uniform(1.0, 8.0)
        steps = StepQuantiles(LEVELS, np.repeat(values[:, None], 6, axis=1))
        return replace(request, quantiles=(steps,))
    return request


@pytest.mark.parametrize("kind", ["law", "paths", "response"])
@pytest.mark.parametrize("seed", range(4))
def test_a_wide_range_is_decided_as_with_all_of_its_counts(kind: str, seed: int) -> None:
    """Of sampled paths many counts cost nearly the same, and one of them is chosen."""
    request = wide_case(seed, kind, 6_000)
    standings = [Standing("forecast", "", 0, 0.0, None)]
    few, whole = (
        look_ahead(request, standings, replace(NO_FLOOR, max_candidates=n)) for n in (64, 7_000)
    )
    first, best = few.first(), whole.first()
    value = whole.plan.first_value[0]
    at, least = (int(whole.grid.index_of(one)[0]) for one in (first, best))
    assert value[at] <= 1.003 * value[least]
    assert few.grid.has_neighbours(first).all()
    if kind != "paths":
        assert first[0] == pytest.approx(best[0], rel=0.005)
    for replicas in (first, np.array([request.workloads[0].replicas.spec])):
        risks = (one.risk_at(replicas)[0] for one in (few, whole))
        assert next(risks) == pytest.approx(next(risks), rel=0.1, abs=1e-6)


def test_pools_of_wide_ranges_are_decided_as_with_all_of_their_counts() -> None:
    loads = np.stack([noisy(3_000.0, 1), noisy(2_000.0, 2, cv=0.3)])
    owners = two_pools(sla(), 150, 2_000, risk=RiskState(log_multiplier=5.0))
    request = service(loads, None, owners)
    few, all_of_them = (
        decide_shard(request, replace(NO_FLOOR, max_candidates=n), NOW_S) for n in (64, 2_001)
    )
    for one, other in zip(few, all_of_them, strict=True):
        assert one.raw == pytest.approx(other.raw, rel=0.01)


def test_wide_ranges_change_nothing_for_their_company() -> None:
    """Nor does company for them: a count is chosen among a workload's own candidates."""
    wide, narrow = wide_case(1, "paths", 6_000), shard(noisy(90.0, 3))
    together = replace(
        narrow,
        workloads=(*narrow.workloads, *wide.workloads),
        paths=np.concatenate([narrow.paths, wide.paths]),
        capacity_draws=np.concatenate([narrow.capacity_draws, wide.capacity_draws]),
        lead_time_draws_s=np.concatenate([narrow.lead_time_draws_s, wide.lead_time_draws_s]),
    )
    alone = [decide_shard(one, NO_FLOOR, NOW_S)[0] for one in (narrow, wide)]
    beside = decide_shard(together, NO_FLOOR, NOW_S)
    assert [decision_bytes(one) for one in alone] == [decision_bytes(one) for one in beside]


def test_what_fits_is_decided_as_before_to_the_last_bit() -> None:
    for seed in range(6):
        request = shard(noisy(90.0 + 40.0 * seed, seed, cv=0.2))
        now, before = (
            decide_shard(request, replace(NO_FLOOR, revision=revision), NOW_S)[0]
            for revision in (2, 1)
        )
        assert decision_bytes(now) == decision_bytes(before)


def test_as_many_counts_more_are_looked_at_as_are_stuck() -> None:
    owners = [
        workload("hangs", replicas=ReplicaState(10, 4, (9_000.0,) * 6), limits=Limits(1, 60)),
        workload("bound", replicas=ReplicaState(10, 4, (9_000.0,) * 6), limits=Limits(1, 12)),
        workload("fine", replicas=ReplicaState(10, 10)),
    ]
    request = shard(np.stack([noisy(80.0, 1)] * 3), owners, lead_s=180.0)
    standings = [Standing("forecast", "", 0, 0.0, None)] * 3
    now, before = (
        look_ahead(request, standings, DecideConfig(revision=revision)).grid.top
        for revision in (4, 3)
    )
    assert (now - before).tolist() == [6, 0, 0]
    assert now[1] == 12
