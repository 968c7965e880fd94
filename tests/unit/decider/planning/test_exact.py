"""Who is integrated, and that the luck of the paths has no part in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.special import ndtri

from decider import (
    DecideConfig,
    Limits,
    MissDraws,
    ReplicaState,
    ShardRequest,
    Sla,
    StepQuantiles,
    decide_shard,
    decision_to_dict,
    inputs_to_bytes,
    replay_decision,
)
from decider.planning.exact import integrated
from decider.stored.replay import decision_bytes, inputs_from_bytes
from forecaster.predict import stratified
from tests.unit.decider.shards import NOW_S, STEP_S, shard, workload
from tests.unit.decider.tables.exact_cases import LEVELS, steps_of

VALUES = (100.0 * np.exp(0.3 * ndtri(LEVELS))).astype(np.float32).astype(float)
STEPS = steps_of(*[VALUES] * 6)


def sampled(seed: int) -> np.ndarray:
    """(200, 6) paths as the forecaster draws them."""
    rng = np.random.default_rng(seed)
    points = np.interp(stratified(200, 6, rng), LEVELS, VALUES)
    return rng.permuted(points, axis=0)


def request_of(n: int = 1, *, has_quantiles: bool = True, **changes) -> ShardRequest:
    given = {"limits": Limits(1, 2000), "replicas": ReplicaState(100, 100), "sla": Sla(0.001)}
    one = workload(**(given | changes))
    paths = np.stack([sampled(seed) for seed in range(n)])
    request = shard(paths, [one] * n, capacity=1.0)
    return replace(request, quantiles=(STEPS,) * n) if has_quantiles else request


@pytest.mark.parametrize("epsilon", [0.001, 0.01, 0.05])
def test_counts_vary_by_at_most_three_per_cent_over_fifty_samples(epsilon: float) -> None:
    counts = np.array(
        [d.raw for d in decide_shard(request_of(50, sla=Sla(epsilon)), DecideConfig(), NOW_S)]
    )
    assert counts.mean() >= 100
    assert counts.std() <= 0.03 * counts.mean()


def test_the_kept_risk_is_near_that_of_very_many_paths() -> None:
    request = request_of(sla=Sla(0.01))
    rng = np.random.default_rng(1)
    many = np.interp(stratified(20_000, 6, rng), LEVELS, VALUES)
    dense = replace(request, paths=rng.permuted(many, axis=0)[None], quantiles=())
    by_law, by_paths = (decide_shard(r, DecideConfig(), NOW_S)[0].raw for r in (request, dense))
    assert by_law == pytest.approx(by_paths, rel=0.05)


def test_joint_promises_and_responses_go_by_paths() -> None:
    assert integrated(request_of(), 0) is STEPS
    assert integrated(request_of(has_quantiles=False), 0) is None
    assert integrated(request_of(sla=Sla(0.01, "AnyInWindow")), 0) is None
    assert integrated(request_of(further_capacity=(2.0,)), 0) is None
    one = np.ones(4)
    soft = request_of(sla=Sla(0.01, good_share=0.95))
    response = MissDraws(one, 8.0 * one, 0.01 * one, 50.0 * one)
    assert integrated(replace(soft, responses=(response,)), 0) is None


def test_a_hole_in_the_quantiles_harms_nobody() -> None:
    values = STEPS.values.copy()
    values[3, 2] = np.nan
    broken = request_of(2)
    broken = replace(broken, quantiles=(replace(STEPS, values=values), STEPS))
    found = decide_shard(broken, DecideConfig(), NOW_S)
    alone = decide_shard(request_of(has_quantiles=False), DecideConfig(), NOW_S)
    assert decision_bytes(found[0]) == decision_bytes(alone[0])


@pytest.mark.parametrize("kind", ["TimeFraction", "DemandFraction"])
@pytest.mark.parametrize("age_steps", [0, 2])
def test_a_decision_is_replayed_byte_for_byte(kind: str, age_steps: int) -> None:
    origin_s = NOW_S - (1 + age_steps) * STEP_S
    request = request_of(3, sla=Sla(0.01, kind), forecast_origin_s=origin_s)
    mixed = replace(request, quantiles=(STEPS, None, STEPS))
    for row, decision in enumerate(decide_shard(mixed, DecideConfig(), NOW_S)):
        blob = inputs_to_bytes(mixed, row, decision, DecideConfig(), NOW_S)
        assert decision_bytes(replay_decision(blob)) == decision_bytes(decision)
        stored = inputs_from_bytes(blob)[0].steps(0)
        assert (stored is None) == (row == 1)


@pytest.mark.slow
@given(
    seed=st.integers(0, 10_000),
    epsilon=st.sampled_from([0.001, 0.01, 0.05, None]),
    kind=st.sampled_from(["TimeFraction", "DemandFraction"]),
    spread=st.floats(0.02, 0.6),
)
@settings(max_examples=25, deadline=None)
def test_whatever_the_paths_count_plan_and_risk_are_the_same(
    seed: int, epsilon: float | None, kind: str, spread: float
) -> None:
    """So a forecast may be stored without them: comonotone ones stand in."""
    rng = np.random.default_rng(seed)
    level = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.1, 6)))
    values = level * np.exp(spread * np.sqrt(np.arange(1, 7)) * ndtri(LEVELS)[:, None])
    one = request_of(sla=Sla(epsilon, kind))
    points = rng.permuted(stratified(200, 6, rng), axis=0)
    middles = np.repeat((np.arange(200)[:, None] + 0.5) / 200, 6, axis=1)
    found = []
    for at in (points, middles):
        paths = np.stack([np.interp(at[:, h], LEVELS, values[:, h]) for h in range(6)], axis=1)
        request = replace(one, paths=paths[None], quantiles=(StepQuantiles(LEVELS, values),))
        (decision,) = decide_shard(request, DecideConfig(), NOW_S)
        record = decision_to_dict(decision)
        found.append([record[name] for name in ("raw", "final", "plan", "risk", "reason")])
    assert found[0] == found[1]


@pytest.mark.parametrize("revision", [2, 3])
def test_a_promise_about_windows_is_made_again_as_its_revision_made_it(revision: int) -> None:
    config = DecideConfig(revision=revision)
    request = request_of(sla=Sla(0.05, "AnyInWindow", 86_400.0))
    (decision,) = decide_shard(request, config, NOW_S)
    assert (decision.risk_target == 0.05) == (revision == 2)
    blob = inputs_to_bytes(request, 0, decision, config, NOW_S)
    assert decision_bytes(replay_decision(blob)) == decision_bytes(decision)
    by_law = integrated(inputs_from_bytes(blob)[0], 0)
    assert (by_law is None) == (revision == 2)


def test_quantiles_that_are_not_used_are_not_stored() -> None:
    sla, config = Sla(0.01, "AnyInWindow"), DecideConfig(revision=2)
    blobs = []
    for request in (request_of(sla=sla), request_of(sla=sla, has_quantiles=False)):
        (decision,) = decide_shard(request, config, NOW_S)
        blobs.append(inputs_to_bytes(request, 0, decision, config, NOW_S))
    assert blobs[0] == blobs[1]


def test_as_many_steps_as_the_paths_have_are_asked_for() -> None:
    with pytest.raises(ValueError, match="quantiles of 5 steps, must be H=6"):
        replace(request_of(), quantiles=(steps_of(*[VALUES] * 5),))
