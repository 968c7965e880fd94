"""The fast model against the engine, and its own laws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decider.policies import Hpa, HpaConfig, TrailingPercentile
from services.lab.cluster.specs import NodeSpec
from services.lab.simulator import SimulationSetup, simulate
from services.lab.simulator.fluid import (
    FluidInput,
    history_input,
    hpa_outcome,
    run_hpa,
    run_schedules,
)
from tests.unit.lab.simulator.fleets import make_fleet

LEADS = [0.0, 25.0, 60.0, 90.0, 150.0]


def wavy(W, T, seed=0):
    rng = np.random.default_rng(seed)
    t = np.arange(T)
    base = 6 + 4 * np.sin(2 * np.pi * t / 90)
    return base * rng.lognormal(0, 0.25, (W, T)) * rng.uniform(0.5, 1.5, (W, 1))


def replay_as_history(fleet, initial):
    """The fluid input of the replay, with the same start as the engine's run."""
    whole = replace(fleet, n_history=fleet.n_steps - 1)
    given_ = history_input(whole, fleet.n_history, initial)
    cut = slice(None, fleet.n_replay - 1)
    return replace(given_, demand=given_.demand[:, cut], seen=given_.seen[:, cut])


ROOMY = (NodeSpec("big", "L4", 10_000),)


@pytest.mark.parametrize("median_s", LEADS)
def test_hpa_equals_the_engine_when_starts_take_a_fixed_time(median_s):
    fleet = make_fleet(wavy(3, 261), n_history=60, median_s=max(median_s, 1.0))
    initial = np.array([10.0, 8.0, 12.0])
    # no stabilisation: its record of the first count begins a step apart in the two runs
    config = HpaConfig(down=replace(HpaConfig().down, stabilisation_s=0.0))
    engine = simulate(
        "hpa", [Hpa(config)] * 3, SimulationSetup(fleet, initial, seed=5, nodes=ROOMY)
    )
    fluid = replay_as_history(fleet, initial)
    # the engine's policy saw the last history step, the fluid one starts blind: give it that
    last = fleet.demand[:, 59:60]
    earlier = replace(
        fluid,
        demand=np.concatenate([last, fluid.demand], axis=1),
        seen=np.concatenate([last, fluid.seen], axis=1),
        start_s=fluid.start_s - 60.0,
    )
    trajectory = run_hpa(earlier, np.array([60.0]), config)
    np.testing.assert_array_equal(trajectory.asked[0][:, 1:], engine.spec[:, :-1])
    ready = trajectory.ready_mean(60.0)[0][:, 1:]
    np.testing.assert_allclose(ready, engine.ready_mean[:, :-1], atol=1e-9)


@pytest.mark.parametrize("median_s", LEADS)
def test_schedules_equal_the_engine(median_s):
    fleet = make_fleet(wavy(2, 241, seed=3), n_history=60, median_s=max(median_s, 1.0))
    initial = np.array([6.0, 9.0])
    policy = TrailingPercentile(600, 90, 0.1)
    run = simulate("trailing", [policy] * 2, SimulationSetup(fleet, initial, seed=5, nodes=ROOMY))
    fluid = replay_as_history(fleet, initial)
    for w in range(2):
        asked = run.spec[w : w + 1, : fluid.demand.shape[1]]
        violation_s, held_s = run_schedules(fluid, w, asked)
        assert violation_s[0] == pytest.approx(run.violation_s[w, :-1].sum(), abs=1e-6)
        assert held_s[0] == pytest.approx(run.gpu_s[w, :-1].sum())


def flat_input(demand, lead_s, initial=1.0):
    demand = np.atleast_2d(demand).astype(float)
    ones = np.ones(demand.shape[0])
    return FluidInput(
        demand, demand, ones, ones, 99 * ones, lead_s * ones, ones, initial * ones, 0.0, 60.0
    )


def test_a_rising_request_lands_after_the_lead_time():
    # asks for one more each step; starts take 150 s: 2 whole steps and 30 s
    asked = np.arange(2.0, 12.0)[None]
    demand = np.full(10, 1.5)
    violation_s, _ = run_schedules(flat_input(demand, 150.0), 0, asked)
    # the second replica, asked for at 0 s, serves from 150 s on
    assert violation_s[0] == 150.0


@settings(max_examples=40, deadline=None)
@given(
    asked=st.lists(st.integers(1, 12), min_size=5, max_size=40),
    seed=st.integers(0, 99),
    leads=st.tuples(st.floats(0, 400), st.floats(0, 400)),
)
def test_a_longer_lead_never_reduces_violations(asked, seed, leads):
    demand = np.random.default_rng(seed).uniform(0, 12, len(asked))
    schedule = np.array([asked], dtype=float)
    short, long = sorted(leads)
    short_s, held = run_schedules(flat_input(demand, short), 0, schedule)
    long_s, held_long = run_schedules(flat_input(demand, long), 0, schedule)
    assert long_s[0] >= short_s[0] - 1e-6
    assert held[0] == held_long[0]


def test_a_lower_target_costs_more_and_violates_less():
    fluid = flat_input(wavy(4, 400, seed=9), 90.0, initial=10.0)
    targets = np.array([30.0, 50.0, 70.0, 90.0])
    outcome = hpa_outcome(fluid, run_hpa(fluid, targets, HpaConfig()))
    assert np.all(np.diff(outcome.cost_usd) < 0)
    assert np.all(np.diff(outcome.violation_rate) > 0)
