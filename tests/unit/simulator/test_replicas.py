"""Replicas of a grid against the engine's, and the account of a step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from services.simulator.engine.engine import ClusterEngine
from services.simulator.engine.specs import DeploymentSpec, StartupSpec
from services.simulator.replicas import GridReplicas, account
from tests.unit.simulator.courses import ROOMY, engine_leads, make_course
from tests.unit.simulator.fleets import make_fleet

SEED = 5


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    median_s=st.floats(5, 400),
    sigma=st.floats(0, 1.2),
    at=st.floats(0.01, 59.99),
)
def test_the_replicas_are_the_engine_s_at_any_time(seed, median_s, sigma, at):
    """Ready, on the way, their ages, and the pieces of the step; G = 1, W = 1."""
    rng = np.random.default_rng(seed)
    startup = StartupSpec(median_s, sigma, fail_probability=0.1)
    engine = ClusterEngine(ROOMY, seed=seed, now_s=0.0)
    engine.add_deployment(DeploymentSpec("t/w0", "L4", 1, startup, 3))
    fleet = make_fleet(np.ones((1, 30)), n_history=10, median_s=median_s, sigma=sigma, fail=0.1)
    course = make_course(np.ones(30), lead_s=engine_leads(fleet, seed, 200), initial=3)
    # the fleet's restart takes 20 s, the engine's default 10 s: take the fleet's
    engine.update(replace(engine.spec("t/w0"), startup=replace(startup, restart_s=20.0)))
    ours = GridReplicas(course, 1)
    for t in range(20):
        now_s = 60.0 * t
        ours.land(now_s)
        counts = engine.counts("t/w0")
        assert (ours.ready[0, 0], ours.starting[0, 0]) == (counts.ready, counts.starting)
        ages = ours.start_age_s(now_s)[0, 0]
        np.testing.assert_allclose(ages[np.isfinite(ages)], counts.start_ages_s)
        asked = int(rng.integers(0, 9))
        engine.scale("t/w0", asked)
        ours.scale(np.array([[asked]]), now_s)
        engine.advance(now_s + at)
        width_s, serving = ours.pieces(np.array([0]), now_s, now_s + at)
        exact = engine.timeline("t/w0", now_s, now_s + at)
        assert (width_s * serving).sum() == pytest.approx(
            sum((i.end_s - i.start_s) * i.ready for i in exact), abs=1e-6
        )
        assert serving[0, 0] == exact[0].ready or width_s[0, 0] == 0
        engine.advance(now_s + 60.0)


def test_the_shares_of_a_step_never_round_to_more_than_the_whole():
    """A step out of SLA throughout is cut into pieces by the starts that land in it."""
    rng = np.random.default_rng(SEED)
    course = replace(
        make_course(np.full((40, 2), 1e6)), lead_s=rng.lognormal(np.log(60.0), 0.5, (40, 512))
    )
    replicas = GridReplicas(course, 25)
    largest = 0.0
    for step in range(60):
        now_s = course.start_s + step * course.step_s
        replicas.land(now_s)
        asked = np.minimum(replicas.spec + rng.integers(-1, 4, replicas.spec.shape), 90)
        replicas.scale(np.maximum(asked, 1), now_s)
        found = account(replicas, np.full(40, 1e6), course.capacity, now_s, now_s + course.step_s)
        largest = max(largest, float(found.violation_ratio.max()))
    assert largest == 1.0
