"""What waits at each step until a decision can act: against the recursion, and its limits."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from decider import Limits, MissDraws, ReplicaState, ShardRequest
from decider.tables.backlog import counted_waiting, held_ready, with_backlog
from decider.tables.candidates import candidate_range
from decider.tables.landing import LandingWeights, landing_weights
from decider.tables.pairing import paired_draws
from decider.tables.scenarios import Scenarios, make_scenarios, step_tables
from decider.tables.soft_response import soft_responses
from decider.tables.soft_tables import soften
from tests.unit.decider.shards import STEP_S, noisy, observed, shard, workload
from tests.unit.decider.tables.soft_cases import response, sla, soft_shard

NOW = np.zeros(1)
N_STEPS = 3
"""Lead time in steps: the decision owns the step of that number."""


def waiting_shard(paths: np.ndarray, draws: MissDraws | None = None, **changes) -> ShardRequest:
    owner = workload(**({"sla": sla(), "limits": Limits(1, 500), "waiting_load": 0.0} | changes))
    return soft_shard(paths, [draws or response()], [owner], lead_s=N_STEPS * STEP_S)


def found(
    request: ShardRequest, most_steps: float = 1.0, elapsed: np.ndarray = NOW
) -> tuple[Scenarios, Scenarios, LandingWeights]:
    """Scenarios without and with the queue."""
    plain = make_scenarios(request, request.paths)
    weights = landing_weights(request, elapsed)
    return plain, with_backlog(request, plain, weights, elapsed, most_steps), weights


def test_the_queue_is_what_is_left_over_scenario_by_scenario() -> None:
    draws = response(3)
    request = waiting_shard(noisy(104.0, cv=0.2), draws, waiting_load=20.0)
    plain, queued, weights = found(request, most_steps=50.0)
    picked = paired_draws(draws.capacity.size, plain.demand.shape[1])
    for s in range(0, plain.demand.shape[1], 17):
        waits = 20.0
        for h in range(N_STEPS + 1):
            arrives = plain.demand[0, s, h]
            assert queued.demand[0, s, h] == pytest.approx(arrives + waits)
            waits = max(0.0, waits + arrives - 10 * draws.capacity[picked[s]])
    after = slice(N_STEPS + 1, None)
    np.testing.assert_array_equal(queued.demand[:, :, after], plain.demand[:, :, after])
    assert weights.owned_step.tolist() == [N_STEPS]


def test_replicas_follow_the_queue_and_requests_do_not() -> None:
    plain, queued, _ = found(waiting_shard(noisy(100.0), waiting_load=80.0))
    assert queued.need[0, :, 0].mean() > 1.5 * plain.need[0, :, 0].mean()
    np.testing.assert_array_equal(queued.raw, plain.raw)
    np.testing.assert_array_equal(plain.raw, plain.demand)


def test_starts_on_the_way_serve_from_when_they_land() -> None:
    cold = waiting_shard(np.full((20, 6), 100.0), replicas=ReplicaState(12, 2, (2 * STEP_S,) * 10))
    weights = landing_weights(cold, NOW)
    np.testing.assert_allclose(held_ready(cold, weights)[0], [2, 12, 12, 12, 12, 12], atol=0.3)
    _, queued, _ = found(cold, most_steps=50.0)
    alone = waiting_shard(np.full((20, 6), 100.0), replicas=ReplicaState(2, 2))
    _, deserted, _ = found(alone, most_steps=50.0)
    np.testing.assert_allclose(queued.demand[0, :, 1], deserted.demand[0, :, 1], rtol=0.02)
    assert (queued.demand[0, :, 2] < deserted.demand[0, :, 2] - 50.0).all()


def test_of_a_step_that_is_partly_over_only_the_rest_adds_to_the_queue() -> None:
    request = waiting_shard(np.full((20, 6), 100.0), replicas=ReplicaState(2, 2))
    _, whole, _ = found(request, 50.0)
    _, rest, _ = found(request, 50.0, np.array([0.75]))
    grown = [one.demand[0, :, 1] - 100.0 for one in (whole, rest)]
    np.testing.assert_allclose(grown[1], 0.25 * grown[0])


def test_a_dead_service_has_a_queue_of_so_many_steps_at_most() -> None:
    dead = waiting_shard(
        np.full((20, 6), 100.0), replicas=ReplicaState(0, 0), waiting_load=1e9,
        history=observed(140.0),
    )  # fmt: skip
    for most in (0.5, 1.0, 3.0):
        plain, queued, _ = found(dead, most)
        extra = (queued.demand - plain.demand)[0, :, : N_STEPS + 1]
        np.testing.assert_allclose(extra, most * 140.0)
    assert counted_waiting(1e9, 140.0, 1.0) == 140.0
    assert counted_waiting(3.0, 140.0, 1.0) == 3.0


def test_the_same_scenarios_where_nothing_waits_or_may() -> None:
    ample = waiting_shard(noisy(50.0), replicas=ReplicaState(20, 20))
    cold = waiting_shard(noisy(50.0), replicas=ReplicaState(0, 0), waiting_load=9.0)
    sharp = replace(shard(noisy(50.0), list(cold.workloads)), responses=())
    nothing = waiting_shard(np.zeros((20, 6)), replicas=ReplicaState(0, 0), waiting_load=9.0)
    for request, most in ((ample, 1.0), (cold, 0.0), (sharp, 1.0), (nothing, 1.0)):
        plain, queued, _ = found(request, most)
        assert queued is plain


@given(
    first=st.floats(0, 300),
    more=st.floats(0, 300),
    ready=st.integers(0, 15),
    seed=st.integers(0, 50),
)
@settings(max_examples=40, deadline=None)
def test_more_that_waits_is_never_less_to_serve(
    first: float, more: float, ready: int, seed: int
) -> None:
    served = []
    for waits in (0.0, first, first + more):
        request = waiting_shard(
            noisy(100.0, seed, n_paths=20), replicas=ReplicaState(ready, ready), waiting_load=waits
        )
        served.append(found(request)[1])
    for less, greater in pairwise(served):
        assert (less.demand <= greater.demand).all()
        assert (less.need <= greater.need).all()


def missed(paths: np.ndarray) -> np.ndarray:
    """(H,) expected misses on 20 replicas while eleven are running, all draws alike."""
    draws = MissDraws(*(np.full(8, v) for v in (10.0, 30.0, 0.0, 60.0)))
    request = waiting_shard(paths, draws, replicas=ReplicaState(11, 11))
    _, queued, _ = found(request, most_steps=50.0)
    grid = candidate_range(request.workloads, queued.need, 64).grid()
    soft = soft_responses(request)
    steps = soften(soft, queued, grid, step_tables(queued, grid))
    return np.asarray(steps.violation[0, :, grid.row_index(0, np.array(20))])


def test_whole_paths_may_change_places_but_steps_may_not() -> None:
    """What is left over follows from the steps before: the joint law of a path counts."""
    rng = np.random.default_rng(4)
    level = 100.0 * np.exp(0.15 * rng.standard_normal((200, 1)))
    together = np.repeat(level, 6, axis=1)
    order = rng.permutation(200)
    np.testing.assert_allclose(missed(together[order]), missed(together), rtol=1e-5, atol=1e-9)
    apart = np.stack([rng.permutation(together[:, h]) for h in range(6)], axis=1)
    assert missed(apart)[N_STEPS] < 0.9 * missed(together)[N_STEPS]
