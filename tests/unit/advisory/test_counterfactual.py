"""Decided counts carried out: their starts, their gaps, their price; all by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from services.advisory.counterfactual import (
    CarriedOut,
    Replay,
    StoredSteps,
    carry_out,
)

NAN = np.nan
STEP_S = 600.0


def stored(
    desired: list[float], needed: list[float] | float = 2.0, ran: float = 4.0
) -> StoredSteps:
    """Four replicas of two GPUs at 3 USD ran in every step: 4 USD a step of ten minutes."""
    T = len(desired)
    full = np.full(T, 4.0)
    known = np.isfinite(desired)
    return StoredSteps(
        start_s=0.0,
        step_s=STEP_S,
        cost_usd=full,
        gpu_hours=full / 3.0,
        gpus=np.full(T, 2.0),
        needed=np.broadcast_to(np.asarray(needed, dtype=float), T).copy(),
        believed=np.zeros(T),
        measured=np.full(T, NAN),
        requests=np.full(T, NAN),
        missed=np.full(T, NAN),
        desired=np.array(desired, dtype=float),
        raw=np.array(desired, dtype=float),
        ran=np.where(known, ran, NAN),
        is_own=np.zeros(T, dtype=bool),
    )


def carried(steps: StoredSteps, lead_s: float = 300.0) -> CarriedOut:
    return carry_out([Replay(steps, 9.0, np.array([lead_s]))])[0]


def test_a_count_costs_its_gpus_at_the_price_that_was_paid() -> None:
    found = carried(stored([2.0, 2.0, 3.0]))
    np.testing.assert_allclose(found.gpu_hours, [2 / 3, 2 / 3, 1.0])
    np.testing.assert_allclose(found.cost_usd, [2.0, 2.0, 3.0])
    np.testing.assert_array_equal(found.believed, 0.0)


def test_a_step_in_which_nothing_ran_has_the_stated_price() -> None:
    steps = stored([1.0])
    steps = replace(steps, cost_usd=np.zeros(1), gpu_hours=np.zeros(1))
    np.testing.assert_allclose(carried(steps).cost_usd, [2 * 9.0 / 6.0])


def test_a_step_at_zero_before_a_change_of_price_has_the_price_of_its_time() -> None:
    """A service at zero by night had Harmony's counts of then at today's price, thrice as dear."""
    steps = stored([1.0, 1.0, 1.0, 1.0])
    ran = np.array([0.0, 1.0, 0.0, 0.0])
    steps = replace(steps, cost_usd=steps.cost_usd * ran, gpu_hours=steps.gpu_hours * ran)
    np.testing.assert_allclose(carried(steps).cost_usd, [1.0, 1.0, 3.0, 3.0])


def test_more_replicas_serve_only_after_their_start() -> None:
    found = carried(stored([2.0, 6.0, 6.0, 6.0], needed=[2.0, 5.0, 5.0, 5.0]), lead_s=900.0)
    np.testing.assert_allclose(found.believed, [0.0, 1.0, 0.5, 0.0])
    np.testing.assert_allclose(found.cost_usd, [2.0, 6.0, 6.0, 6.0])


def test_the_window_begins_with_what_the_first_decision_found() -> None:
    steps = stored([4.0, 4.0], needed=4.0)
    np.testing.assert_allclose(carried(steps).believed, 0.0)
    np.testing.assert_allclose(carried(replace(steps, ran=steps.ran - 2)).believed, [0.5, 0.0])


def test_without_a_decision_nothing_is_known_and_what_ran_stands() -> None:
    found = carried(stored([NAN, 2.0, NAN, NAN, 4.0], needed=4.0))
    np.testing.assert_allclose(found.cost_usd, [NAN, 2.0, NAN, NAN, 4.0])
    np.testing.assert_allclose(found.believed, [NAN, 1.0, NAN, NAN, 0.0])


def test_what_harmony_scaled_itself_is_not_compared() -> None:
    steps = replace(stored([2.0, 2.0]), is_own=np.array([True, False]))
    found = carried(steps)
    np.testing.assert_allclose(found.cost_usd, [NAN, 2.0])


def test_an_unknown_demand_costs_and_has_no_share_out_of_sla() -> None:
    found = carried(stored([1.0, 1.0], needed=[NAN, 3.0]))
    np.testing.assert_allclose(found.cost_usd, [1.0, 1.0])
    np.testing.assert_allclose(found.believed, [NAN, 1.0])


def test_an_unknown_cost_is_not_compared_and_the_decision_stands() -> None:
    steps = stored([2.0, 2.0, 2.0], needed=3.0)
    steps.cost_usd[1] = NAN
    found = carried(steps)
    np.testing.assert_allclose(found.cost_usd, [2.0, NAN, 2.0])
    np.testing.assert_allclose(found.believed, [1.0, NAN, 1.0])


def test_a_replica_costs_the_gpus_that_it_had_in_that_step() -> None:
    steps = stored([4.0, 4.0, 4.0], needed=4.0)
    steps = replace(steps, gpus=np.array([4.0, NAN, 2.0]))
    steps = replace(steps, gpu_hours=steps.gpu_hours * [2.0, 2.0, 1.0])
    steps = replace(steps, cost_usd=steps.cost_usd * [2.0, 2.0, 1.0])
    found = carried(steps)
    np.testing.assert_allclose(found.gpu_hours, [8 / 3, NAN, 4 / 3])
    np.testing.assert_allclose(found.cost_usd, [8.0, NAN, 4.0])
    np.testing.assert_allclose(found.believed, [0.0, NAN, 0.0])


def test_nothing_decided_at_all_is_unknown() -> None:
    found = carried(stored([NAN, NAN]))
    assert np.isnan(found.cost_usd).all()
    assert np.isnan(found.believed).all()
    assert carry_out([]) == []


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(0, 8), min_size=3, max_size=20),
    st.integers(1, 8),
    st.sampled_from([0.0, 400.0, 2000.0]),
)
def test_one_replica_more_everywhere_never_violates_more(
    counts: list[int], needed: int, lead_s: float
) -> None:
    desired = [float(n) for n in counts]
    fewer = carried(stored(desired, float(needed), ran=desired[0]), lead_s)
    more = carried(stored([n + 1 for n in desired], float(needed), ran=desired[0] + 1), lead_s)
    assert (more.believed <= fewer.believed + 1e-6).all()
    np.testing.assert_allclose(more.cost_usd - fewer.cost_usd, 1.0)


def test_workloads_carried_out_together_are_as_each_alone() -> None:
    one, other = stored([2.0, 6.0, 6.0], needed=5.0), stored([NAN, 3.0, 1.0], needed=2.0)
    lead_s = np.array([300.0, 900.0])
    both = carry_out([Replay(each, 9.0, lead_s) for each in (one, other)])
    for each, found in zip((one, other), both, strict=True):
        (alone,) = carry_out([Replay(each, 9.0, lead_s)])
        np.testing.assert_array_equal(alone.cost_usd, found.cost_usd)
        np.testing.assert_array_equal(alone.believed, found.believed)


def test_a_policy_is_pure() -> None:
    steps = stored([2.0, NAN])
    before = steps.desired.copy()
    carried(steps)
    np.testing.assert_array_equal(steps.desired, before)
    assert steps.counts() == pytest.approx([2.0, 0.0])
