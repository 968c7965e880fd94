"""The fluid queue by hand, against a fine Euler integration, and its laws."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from decider.belief.capacity import SATURATION, ResponseCurve
from services.simulator.grid_run import simulate_grid
from services.simulator.policies.reactive.hpa import HpaGrid
from services.simulator.queue import FluidQueue, QueueConfig
from services.simulator.queue_run import QueueWatch, queue_of_run
from tests.unit.simulator.courses import Scripted, make_course

CURVE = ResponseCurve(base_ms=200.0, a=1.0, b=4.0)
CONFIG = QueueConfig(CURVE, slo_utilisation=0.8, timeout_s=30.0)
NAN = float("nan")
# within the SLO a replica serves 8, at saturation 10
CAPACITY = np.array([8.0])
FULL_MS = float(CURVE.latency_ms(np.asarray(SATURATION)))


def pieces(*parts):
    """(1, 1, E) lengths and ready replicas."""
    width_s, ready = (
        np.array(values, dtype=float)[None, None] for values in zip(*parts, strict=True)
    )
    return width_s, ready


def one_step(load, *parts, queue=None, config=CONFIG):
    queue = queue or FluidQueue(config, (1, 1))
    made = queue.step(np.array([float(load)]), CAPACITY, *pieces(*parts))
    return {name: float(getattr(made, name)[0, 0]) for name in made.__slots__}


class TestByHand:
    def test_within_capacity_nothing_waits(self):
        made = one_step(8.0, (60, 1))
        assert made["backlog"] == made["lost"] == made["wait_s"] == made["late_ratio"] == 0
        assert made["served"] == 480
        assert made["latency_ms"] == pytest.approx(200 * (1 + 0.8**4 / 0.2))

    def test_beyond_the_slo_but_within_saturation_all_are_late_and_none_waits(self):
        made = one_step(9.0, (60, 1))
        assert made["backlog"] == made["wait_s"] == 0
        assert made["late_ratio"] == 1
        assert made["latency_ms"] == pytest.approx(200 * (1 + 0.9**4 / 0.1))

    def test_a_backlog_rises_and_is_worked_off_by_a_landed_start(self):
        # 20 s at 5 too many: 100 wait; then 5 a second more than arrives: empty after 20 s
        made = one_step(15.0, (20, 1), (40, 2))
        assert made["backlog"] == made["lost"] == 0
        assert made["served"] == 15 * 60
        # waits: 20 s at a mean of 50 / 10, 20 s at a mean of 50 / 20
        assert made["wait_s"] == pytest.approx((20 * 5 + 20 * 2.5) / 60)
        assert made["late_ratio"] == pytest.approx(40 / 60)
        calm_ms = 200 * (1 + 0.75**4 / 0.25)
        expected = (40 * FULL_MS + 20 * calm_ms) / 60 + 1e3 * made["wait_s"]
        assert made["latency_ms"] == pytest.approx(expected)

    def test_the_timeout_bounds_the_backlog_and_the_rest_is_lost(self):
        # 30 too many each second; 10 x 30 s may wait, which is reached after 10 s
        made = one_step(40.0, (60, 1))
        assert made["backlog"] == 300
        assert made["lost"] == 30 * 50
        assert made["served"] == 600
        assert made["wait_s"] == pytest.approx((10 * 15 + 50 * 30) / 60)

    def test_losing_replicas_makes_those_give_up_that_would_wait_too_long(self):
        queue = FluidQueue(CONFIG, (1, 1))
        assert one_step(40.0, (60, 2), queue=queue)["backlog"] == 600
        made = one_step(0.0, (60, 1), queue=queue)
        assert made["lost"] == 300
        assert made["served"] == 300
        assert made["backlog"] == 0
        # nobody arrived: there is no mean to take
        assert math.isnan(made["wait_s"])
        assert math.isnan(made["late_ratio"])

    def test_without_a_replica_one_s_worth_waits_for_it(self):
        made = one_step(2.0, (40, 0), (20, 1))
        # 80 wait and are served at 10 - 2 a second
        assert made["lost"] == 0
        assert made["served"] == 120
        assert made["wait_s"] == pytest.approx((40 * 30 + 10 * 4) / 60)
        assert made["late_ratio"] == pytest.approx(50 / 60)

    def test_a_generous_slo_allows_a_wait(self):
        # late are those who find more than 5 s of work: while more than 50 wait
        config = replace(CONFIG, slo_ms=FULL_MS + 5e3)
        made = one_step(15.0, (20, 1), (40, 2), config=config)
        # rising by 5 a second, above 50 from 10 s to 20 s; then 2 replicas: 5 s are 100
        assert made["late_ratio"] == pytest.approx(10 / 60, abs=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"slo_utilisation": 0.96}, "slo_utilisation"),
        ({"slo_ms": 0.0}, "slo_ms"),
        ({"timeout_s": 0.1}, "timeout_s"),
        ({"slo_ms": 40e3}, "timeout_s"),
    ],
)
def test_a_queue_that_makes_no_sense_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(CONFIG, **changes)


def euler(load, width_s, ready, config, n=6000):
    """The same step by small steps of time; (1, 1, E) pieces, one workload."""
    one = CAPACITY[0] / config.slo_utilisation
    backlog = lost = served = wait = latency = late = 0.0
    slo_ms = config.latency_slo_ms * (1 + 1e-6)
    for width, count in zip(width_s[0, 0], ready[0, 0], strict=True):
        rate, dt = count * one, width / n
        most = config.timeout_s * (rate if rate > 0 else one)
        lost, backlog = lost + max(0.0, backlog - most), min(backlog, most)
        for _ in range(n):
            before = backlog
            backlog = max(0.0, backlog + (load - rate) * dt)
            served += before + load * dt - backlog
            lost, backlog = lost + max(0.0, backlog - most), min(backlog, most)
            middle = 0.5 * (before + backlog)
            here_s = middle / rate if rate > 0 else config.timeout_s
            is_busy = middle > 0 or rate == 0
            rho = SATURATION if is_busy else min(load / rate, SATURATION)
            here_ms = float(CURVE.latency_ms(np.asarray(rho))) + 1e3 * here_s
            wait, latency = wait + here_s * dt, latency + here_ms * dt
            late += dt * (here_ms > slo_ms)
    total = width_s.sum()
    return {
        "backlog": backlog,
        "served": served,
        "lost": lost,
        "wait_s": wait / total,
        "latency_ms": latency / total,
        "late_ratio": late / total,
    }


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    slo_ms=st.one_of(st.none(), st.floats(300, 20_000)),
    timeout_s=st.floats(21, 120),
)
def test_it_is_exact(seed, slo_ms, timeout_s):
    rng = np.random.default_rng(seed)
    width_s, ready = pieces(*((rng.uniform(1, 40), rng.integers(0, 5)) for _ in range(4)))
    config = replace(CONFIG, slo_ms=slo_ms, timeout_s=timeout_s)
    load = float(rng.uniform(0.5, 45))
    made = FluidQueue(config, (1, 1)).step(np.array([load]), CAPACITY, width_s, ready)
    for name, value in euler(load, width_s, ready, config).items():
        assert float(getattr(made, name)[0, 0]) == pytest.approx(value, rel=5e-3, abs=5e-3), name


def random_steps(rng, n_steps, low=0):
    loads = np.where(rng.random(n_steps) < 0.1, 0.0, rng.uniform(0, 50, n_steps))
    width_s = rng.dirichlet(np.ones(3), n_steps) * 60.0
    return loads, width_s, rng.integers(low, 6, (n_steps, 3)).astype(float)


def run_steps(config, loads, width_s, ready):
    queue = FluidQueue(config, (1, 1))
    for t, load in enumerate(loads):
        yield queue.step(np.array([load]), CAPACITY, width_s[t][None, None], ready[t][None, None])


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), timeout_s=st.sampled_from([3.0, 30.0, 200.0, math.inf]))
def test_what_arrives_is_served_lost_or_waits(seed, timeout_s):
    loads, width_s, ready = random_steps(np.random.default_rng(seed), 20)
    config, before = replace(CONFIG, timeout_s=timeout_s), 0.0
    for load, made in zip(loads, run_steps(config, loads, width_s, ready), strict=True):
        backlog, served, lost = (float(x[0, 0]) for x in (made.backlog, made.served, made.lost))
        assert load * 60 + before == pytest.approx(served + lost + backlog, rel=1e-9, abs=1e-6)
        assert min(backlog, served, lost) >= 0
        before = backlog
        if load > 0:
            assert 0 <= made.late_ratio[0, 0] <= 1 + 1e-12
            assert made.wait_s[0, 0] <= timeout_s * (1 + 1e-12)
            assert made.latency_ms[0, 0] >= CURVE.base_ms * (1 - 1e-12)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_no_backlog_and_nobody_late_where_capacity_suffices(seed):
    rng = np.random.default_rng(seed)
    ready = rng.integers(1, 9, (10, 3)).astype(float)
    loads = rng.uniform(0, 1, 10) * ready.min(axis=1) * CAPACITY
    width_s = rng.dirichlet(np.ones(3), 10) * 60.0
    for made in run_steps(CONFIG, loads, width_s, ready):
        assert made.backlog[0, 0] == made.lost[0, 0] == 0
        assert made.late_ratio[0, 0] == made.wait_s[0, 0] == 0


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_more_replicas_never_serve_less_or_lose_more(seed):
    rng = np.random.default_rng(seed)
    loads, width_s, ready = random_steps(rng, 20)
    more = ready + rng.integers(0, 3, ready.shape)
    served = lost = 0.0
    for few, many in zip(
        run_steps(CONFIG, loads, width_s, ready),
        run_steps(CONFIG, loads, width_s, more),
        strict=True,
    ):
        served += float(many.served[0, 0] - few.served[0, 0])
        lost += float(few.lost[0, 0] - many.lost[0, 0])
        assert served >= -1e-6
        assert lost >= -1e-6


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_where_nobody_gives_up_more_replicas_never_mean_more_waiting(seed):
    rng = np.random.default_rng(seed)
    loads, width_s, ready = random_steps(rng, 20, low=1)
    more = ready + rng.integers(0, 3, ready.shape)
    config = replace(CONFIG, timeout_s=math.inf)
    for load, few, many in zip(
        loads,
        run_steps(config, loads, width_s, ready),
        run_steps(config, loads, width_s, more),
        strict=True,
    ):
        names = ["backlog"] + (["wait_s", "late_ratio", "latency_ms"] if load > 0 else [])
        for name in names:
            low, high = (float(getattr(x, name)[0, 0]) for x in (many, few))
            assert low <= high * (1 + 1e-9) + 1e-6, name


class TestOverACourse:
    def course(self, **changes):
        rng = np.random.default_rng(4)
        demand = 40 + 30 * np.sin(np.arange(80) / 9) + rng.uniform(-5, 5, (2, 80))
        given = {"capacity": np.array([8.0, 10.0]), "initial": 5, **changes}
        return make_course(demand, lead_s=rng.lognormal(4.5, 0.5, (2, 40)), **given)

    def test_beside_a_run_it_sees_starts_land_within_steps(self):
        course = make_course(
            [15.0, 15.0], capacity=CAPACITY, initial=1, lead_s=20.0, max_replicas=np.array([9.0])
        )
        watch = QueueWatch(course, CONFIG, 1)
        run = simulate_grid(Scripted(np.full((1, 1, 2), 2)), course, watch=watch)
        exact, rough = watch.run(), queue_of_run(course, run, CONFIG)
        # as by hand: 20 s with one replica, then two
        assert exact.wait_s[0, 0, 0] == pytest.approx((20 * 5 + 20 * 2.5) / 60)
        # the mean, 1.67 replicas, serves 16.7 a second: nothing waits
        assert rough.wait_s[0, 0, 0] == 0

    def test_both_ways_agree_where_nothing_lands_within_steps(self):
        course = self.course()
        course = replace(course, lead_s=np.full((2, 1), 120.0))
        policy = HpaGrid(np.array([60.0, 95.0, 120.0]))
        watch = QueueWatch(course, CONFIG, 3)
        run = simulate_grid(policy, course, watch=watch)
        exact, rough = watch.run(), queue_of_run(course, run, CONFIG)
        for name in exact.__slots__:
            np.testing.assert_allclose(
                getattr(exact, name), getattr(rough, name), rtol=1e-5, atol=1e-5
            )
        assert exact.lost.sum() > 0

    def test_who_is_late_is_at_least_who_meets_a_violation(self):
        """Within the SLO's capacity nobody is late; beyond it everybody is, and then some."""
        course = self.course()
        watch = QueueWatch(course, CONFIG, 2)
        run = simulate_grid(HpaGrid(np.array([60.0, 110.0])), course, watch=watch)
        queue = watch.run()
        assert np.all(queue.late_ratio >= run.violation_ratio - 1e-5)
        assert queue.late_ratio.sum() > run.violation_ratio.sum()
        share = queue.late_share(course)
        weight = course.demand / course.demand.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(share, (queue.late_ratio * weight).sum(axis=2), rtol=1e-6)

    def test_settings_and_workloads_do_not_mix(self):
        course = self.course()
        both = HpaGrid(np.array([60.0, 110.0]))
        watch = QueueWatch(course, CONFIG, 2)
        simulate_grid(both, course, watch=watch)
        for g, target in enumerate((60.0, 110.0)):
            alone = QueueWatch(course, CONFIG, 1)
            simulate_grid(HpaGrid(target), course, watch=alone)
            for name in watch.run().__slots__:
                whole, one = getattr(watch.run(), name)[g], getattr(alone.run(), name)[0]
                np.testing.assert_allclose(whole, one, rtol=1e-6)

    def test_unknown_demand_and_absent_workloads_are_not_zeros(self):
        demand = np.array([[20.0, NAN, 20.0, 20.0]])
        live = np.array([[True, True, True, False]])
        course = make_course(demand, capacity=CAPACITY, initial=1, is_live=live, lead_s=999.0)
        watch = QueueWatch(course, CONFIG, 1)
        simulate_grid(Scripted(np.ones((1, 1, 4), dtype=int)), course, watch=watch)
        queue = watch.run()
        assert np.isnan(queue.late_ratio[0, 0]).tolist() == [False, True, False, True]
        assert np.isnan(queue.latency_ms[0, 0]).tolist() == [False, True, False, True]
        # 300 are worked off in the gap
        assert queue.backlog[0, 0].tolist() == [300, 0, 300, 0]
        assert queue.served[0, 0].tolist() == [600, 300, 600, 0]
        assert queue.late_share(course)[0, 0] == pytest.approx(1.0)
        nothing = replace(course, demand=np.full((1, 4), NAN))
        assert np.isnan(QueueWatch(nothing, CONFIG, 1).run().late_share(nothing)).all()
