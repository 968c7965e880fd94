"""The price of risk keeps the level, by the mean or over joint paths."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.special import ndtri

from decider import DecideConfig, Limits, ReplicaState, Sla, StepQuantiles, decide_shard
from decider.planning.fallback import Standing
from decider.planning.plan import solve
from decider.planning.prepared import PreparedShard
from decider.types import ShardRequest
from tests.unit.decider.shards import NOW_S, noisy, shard, workload

PLAIN = DecideConfig(reactive_floor_ratio=0.0, n_pairs=1)


def program_of(request: ShardRequest, config: DecideConfig):
    standings = [Standing("model", "", 0, 0.0, None)] * len(request.workloads)
    prepared = PreparedShard.of(request, standings, config, {})
    grid = prepared.candidates.grid()
    return prepared.program(grid, prepared.tables(grid))


@given(seed=st.integers(0, 10_000), epsilon=st.sampled_from([0.01, 0.05, 0.2]))
@settings(max_examples=25, deadline=None)
def test_the_first_price_keeps_the_plan_s_mean_risk_within_the_level(
    seed: int, epsilon: float
) -> None:
    paths = noisy(100.0, seed, cv=0.3)
    config = replace(PLAIN, first_step_ratio=100.0)
    request = shard(paths, [workload(sla=Sla(epsilon))])
    (decision,) = decide_shard(request, config, NOW_S)
    program = program_of(request, config)
    plan = solve(program, np.exp([decision.log_multiplier]))
    assert plan.mean_risk[0] <= PLAIN.risk.aim_ratio * epsilon + 1e-9
    cheaper = solve(program, np.exp([decision.log_multiplier - 0.7]))
    # Not needlessly dear: at half the price of risk the level is broken or nothing changes.
    assert (
        cheaper.mean_risk[0] > PLAIN.risk.aim_ratio * epsilon
        or (cheaper.index == plan.index).all()
        or decision.log_multiplier < 0
    )


def by_a_law(epsilon: float) -> ShardRequest:
    """A thousand replicas or so, decided by the quantiles of their demand."""
    levels = np.array([0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98])
    values = np.repeat(6000.0 * np.exp(0.2 * ndtri(levels))[:, None], 6, axis=1)
    owner = workload(f"w{epsilon:g}", sla=Sla(epsilon), limits=Limits(1, 5000))
    owner = replace(owner, replicas=ReplicaState(900, 900))
    return replace(
        shard(noisy(6000.0, cv=0.2), [owner]), quantiles=(StepQuantiles(levels, values),)
    )


def test_a_price_goes_on_to_what_a_strict_promise_takes_and_no_other_hears_of_it() -> None:
    """The search ended at 1e5: decisions took up to ten levels."""
    strict, usual = by_a_law(1e-5), by_a_law(0.05)
    both = ShardRequest(
        strict.workloads + usual.workloads,
        *(
            np.concatenate([getattr(one, name) for one in (strict, usual)])
            for name in ("paths", "capacity_draws", "lead_time_draws_s")
        ),
        strict.step_s,
        quantiles=strict.quantiles + usual.quantiles,
    )
    first, second = decide_shard(both, PLAIN, NOW_S)
    assert first.log_multiplier is not None
    assert first.log_multiplier > np.log(10 * PLAIN.max_multiplier)
    assert first.risk_level is not None
    assert first.risk_after is not None
    assert first.risk_after <= 1.3 * first.risk_level
    assert second == decide_shard(usual, PLAIN, NOW_S)[0]
    before = decide_shard(strict, replace(PLAIN, revision=4), NOW_S)[0]
    assert before.log_multiplier == pytest.approx(np.log(PLAIN.max_multiplier))
    assert before.risk_after is not None
    assert before.risk_after > 3.0 * first.risk_level
    same = decide_shard(usual, replace(PLAIN, revision=4), NOW_S)[0]
    assert second == same


def test_joint_paths_matter_for_any_in_window() -> None:
    """The same marginals: dependent steps need less than independent ones, up to revision 2."""
    rng = np.random.default_rng(3)
    level = 100 * np.exp(0.15 * rng.standard_normal((1000, 1)))
    dependent = np.repeat(level, 8, axis=1)
    independent = np.stack([rng.permutation(level[:, 0]) for _ in range(8)], axis=1)
    owner, config = workload(sla=Sla(0.05, "AnyInWindow")), replace(PLAIN, revision=2)
    (joint,) = decide_shard(shard(dependent, [owner]), config, NOW_S)
    (apart,) = decide_shard(shard(independent, [owner]), config, NOW_S)
    assert max(joint.plan) < max(apart.plan)


def test_demand_fraction_weighs_steps_by_their_load() -> None:
    """A rare burst holds more of the requests than of the time."""
    paths = np.full((200, 6), 10.0)
    paths[:8] = 100.0  # 4 % of the scenarios, 29 % of the requests
    time_share = workload(sla=Sla(0.05), replicas=ReplicaState(1, 1))
    load_share = workload(sla=Sla(0.05, "DemandFraction"), replicas=ReplicaState(1, 1))
    config = replace(PLAIN, shortage_price_ratio=0.0)
    decisions = decide_shard(
        shard(np.stack([paths, paths]), [time_share, load_share]), config, NOW_S
    )
    assert decisions[0].raw == 1
    assert decisions[1].raw == 10
