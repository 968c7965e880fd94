"""Laws that every reactive rival obeys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays

from services.simulator.policies.grid import GridPolicy, Solo
from services.simulator.policies.predictive.phpa import PhpaHoltWinters, PhpaLinear, PhpaRules
from services.simulator.policies.reactive.apa import Apa
from services.simulator.policies.reactive.hpa import HpaConfig, HpaGrid
from services.simulator.policies.reactive.kpa import Kpa
from services.simulator.policies.reactive.ray_serve import RayServe
from services.simulator.policies.reactive.saturation import Saturation
from services.simulator.policies.view import PolicyInput

RATIOS = np.array([0.3, 0.6, 0.95])

PERCENTS = np.array([30, 60, 95])

GRIDS: dict[str, GridPolicy[Any]] = {
    "hpa": HpaGrid(PERCENTS),
    "hpa_clipped": HpaGrid(PERCENTS, HpaConfig(is_clipped=True)),
    "phpa_linear": PhpaLinear(PERCENTS, np.array([2, 6, 9]), np.array([60.0, 300.0, 600.0])),
    "phpa_linear_mean": PhpaLinear(PERCENTS, rules=PhpaRules("mean", steps_per_point=2)),
    "phpa_holt_winters": PhpaHoltWinters(PERCENTS, 3, RATIOS, beta=RATIOS / 2, gamma=0.4),
    "kpa": Kpa(RATIOS, scale_down_delay_s=120.0),
    "ray_serve": RayServe(RATIOS, downscale_delay_s=120.0, upscale_factor=RATIOS),
    "apa": Apa(RATIOS),
    "saturation": Saturation(RATIOS, np.array([0.05, 0.1, 0.2])),
}

every_policy = pytest.mark.parametrize("policy", GRIDS.values(), ids=GRIDS.keys())

demands = arrays(
    float,
    st.tuples(st.integers(1, 3), st.integers(1, 30)),
    elements=st.one_of(st.floats(0, 80), st.just(float("nan"))),
)


def singles(policy: GridPolicy[Any]) -> Iterator[GridPolicy[Any]]:
    """The same policy once per setting."""
    for g in range(policy.n_settings):
        knobs = {
            f.name: float(value[g])
            for f in fields(policy)
            if isinstance(value := getattr(policy, f.name), np.ndarray)
        }
        yield replace(policy, **knobs)


@every_policy
@settings(max_examples=25)
@given(demand=demands, low=st.integers(1, 6), width=st.integers(0, 30))
def test_answers_are_whole_and_within_bounds(
    drive: Callable[..., np.ndarray], policy, demand, low, width
):
    got = drive(policy, demand, ready=low, low=low, high=low + width)
    assert got.shape == (demand.shape[1], 3, demand.shape[0])
    np.testing.assert_array_equal(got, np.round(got))
    assert got.min() >= low
    assert got.max() <= low + width


@every_policy
@settings(max_examples=15)
@given(demand=demands, step_s=st.sampled_from([10.0, 60.0, 600.0]))
def test_a_grid_equals_its_settings_run_alone(drive, policy, demand, step_s):
    together = drive(policy, demand, step_s=step_s)
    for g, single in enumerate(singles(policy)):
        np.testing.assert_array_equal(together[:, g : g + 1], drive(single, demand, step_s=step_s))


@every_policy
@settings(max_examples=15)
@given(demand=demands)
def test_workloads_do_not_touch_each_other(drive, policy, demand):
    together = drive(policy, demand)
    for w in range(demand.shape[0]):
        np.testing.assert_array_equal(together[:, :, w : w + 1], drive(policy, demand[w : w + 1]))


@every_policy
@given(ready=st.integers(1, 50), starting=st.integers(0, 50))
def test_an_unknown_demand_holds(see, policy, ready, starting):
    view = see([np.nan] * 3, ready=ready, starting=starting, n_settings=3)
    wanted, state = policy.decide(view, policy.initial_state())
    np.testing.assert_array_equal(wanted, view.replicas)
    np.testing.assert_array_equal(policy.decide(view, state)[0], view.replicas)


@every_policy
def test_a_gap_holds_in_the_middle_of_a_run(drive, policy):
    demand = np.random.default_rng(4).uniform(5, 60, (2, 40))
    demand[:, 25:28] = np.nan
    got = drive(policy, demand)
    for t in (25, 26, 27):
        np.testing.assert_array_equal(got[t], got[24])


@every_policy
@settings(max_examples=15)
@given(demand=demands, factor=st.sampled_from([0.25, 8.0]))
def test_units_do_not_matter(drive, policy, demand, factor):
    np.testing.assert_array_equal(
        drive(policy, demand), drive(policy, demand * factor, capacity=factor)
    )


@every_policy
def test_higher_targets_ask_for_no_more_of_a_constant_demand(drive, policy):
    got = drive(policy, np.full((1, 120), 20.0), ready=40)[-1, :, 0]
    assert got[0] >= got[1] >= got[2]
    assert got[0] > got[2]


@every_policy
def test_runs_as_the_policy_of_one_workload(drive, policy):
    loads = np.random.default_rng(6).uniform(5, 60, 12)
    single = next(singles(policy))
    solo, state, replicas = Solo(single), single.initial_state(), 10
    for t, expected in enumerate(drive(single, loads)[:, 0, 0]):
        view = PolicyInput(60.0 * t, 60.0, loads[: t + 1], replicas, 0, 0, replicas, 1.0, 1, 100)
        replicas, state = solo.decide(view, state)
        assert replicas == expected


@every_policy
def test_every_setting_has_its_own_label(policy):
    assert policy.n_settings == 3
    assert len({policy.label(g) for g in range(3)}) == 3
