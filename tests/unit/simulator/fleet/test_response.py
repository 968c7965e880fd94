"""Closed-loop indicators follow from demand and allocation."""

from __future__ import annotations

import numpy as np
import pytest

from services.simulator.fleet import FleetOptions, generate_fleet
from services.simulator.fleet.profiles import CLOSED_LOOP
from services.simulator.fleet.response import ResponseModel, request_rates

NAMES = [spec.name for spec in CLOSED_LOOP]
QUEUE, DUTY, P50, P95 = (
    NAMES.index(n) for n in ("queue_requests", "gpu_duty_ratio", "latency_p50_ms", "latency_p95_ms")
)


@pytest.fixture(scope="module")
def fleet():
    return generate_fleet(FleetOptions(n_workloads=8, n_history=300, n_replay=50))


def respond(fleet, replicas_ratio, n_steps=5):
    """Hold `replicas_ratio` of the needed capacity for some steps."""
    model = ResponseModel(fleet)
    state = model.initial_state()
    for step in range(n_steps):
        demand = fleet.demand[:, 0]
        ready = replicas_ratio * demand / fleet.capacity
        response = model.respond(step, demand, request_rates(fleet)[:, 0], ready, state)
        state = response.state
    return response


def test_no_backlog_within_capacity_and_a_growing_one_beyond(fleet):
    assert np.all(respond(fleet, 1.2).state.backlog == 0)
    short = respond(fleet, 0.7)
    assert np.all(short.state.backlog > 0)
    relaxed = respond(fleet, 1.2)
    for column in (QUEUE, P50, P95):
        assert np.all(short.values[:, column] > relaxed.values[:, column])


def test_a_backlog_is_bounded_by_the_timeout(fleet):
    long, longer = respond(fleet, 0.5, 20), respond(fleet, 0.5, 40)
    np.testing.assert_allclose(long.state.backlog, longer.state.backlog)


def test_waits_stay_sub_second_until_saturation(fleet):
    calm = respond(fleet, 1.3)
    wait_s = calm.values[:, QUEUE] / request_rates(fleet)[:, 0]
    diffusion = [i for i, w in enumerate(fleet.workloads) if w.kind == "diffusion"]
    assert np.all(wait_s[diffusion] > 0.1)
    assert np.all(wait_s[diffusion] < 0.6)


def test_ratios_are_ratios_and_tails_are_above_medians(fleet):
    for ratio in (0.5, 1.0, 3.0):
        values = respond(fleet, ratio).values
        assert np.all((values[:, DUTY] >= 0) & (values[:, DUTY] <= 1))
        assert np.all(values[:, P95] > values[:, P50])
        assert np.all(values >= 0)


def test_without_replicas_latency_does_not_exist_but_the_queue_does(fleet):
    response = respond(fleet, 0.0)
    assert not response.observed[:, P50].any()
    assert np.isnan(response.values[:, P50]).all()
    assert response.observed[:, QUEUE].all()
    assert np.isfinite(response.values[:, QUEUE]).all()


def test_same_allocation_same_indicators(fleet):
    once, again = respond(fleet, 0.9), respond(fleet, 0.9)
    np.testing.assert_array_equal(once.values, again.values)
    assert once.values.shape == (8, len(CLOSED_LOOP))
