"""Meters of a fleet, with and without the closed loop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from services.simulator.fleet import Fleet
from services.simulator.fleet.meters import ServiceMeters
from services.simulator.fleet.profiles import CLOSED_LOOP


def small(fleet: Fleet) -> Fleet:
    """The last day of its history."""
    first = fleet.n_history - 12
    return replace(
        fleet,
        start_s=fleet.start_s + first * fleet.step_s,
        n_history=12,
        demand=fleet.demand[:, first:],
        values=fleet.values[:, first:],
        observed=fleet.observed[:, first:],
    )


def test_the_closed_loop_adds_its_indicators_and_follows_the_replicas(fleet: Fleet) -> None:
    short = small(fleet)
    W, n = short.n_workloads, short.n_history
    meters = ServiceMeters(short, np.full((W, n), 50.0))
    D = short.values.shape[2]
    assert meters.history_values.shape == (W, n, D + len(CLOSED_LOOP))
    assert meters.indicators(0) == (*short.workloads[0].indicators, *CLOSED_LOOP)
    values, observed = meters.read(n, np.full(W, 50.0))
    np.testing.assert_array_equal(values[:, :D], short.values[:, n])
    np.testing.assert_array_equal(observed[:, :D], short.observed[:, n])
    scarce = ServiceMeters(short, np.full((W, n), 50.0)).read(n, np.full(W, 1.0))[0]
    assert (scarce[:, D:] != values[:, D:]).any()


def test_an_outage_hides_the_closed_loop_too(fleet: Fleet) -> None:
    short = small(fleet)
    observed = short.observed.copy()
    observed[0, short.n_history] = False
    hidden = replace(short, observed=observed)
    ready = np.full((short.n_workloads, short.n_history), 50.0)
    seen = ServiceMeters(hidden, ready).read(short.n_history, ready[:, 0])[1]
    assert not seen[0].any()
    assert seen[1:].any()


def test_a_trace_has_its_own_indicators_alone(fleet: Fleet) -> None:
    trace = replace(small(fleet), has_closed_loop=False)
    meters = ServiceMeters(trace, np.zeros((trace.n_workloads, trace.n_history)))
    assert meters.closed_loop == ()
    np.testing.assert_array_equal(meters.history_values, trace.values[:, : trace.n_history])
    values, _ = meters.read(trace.n_history, np.zeros(trace.n_workloads))
    np.testing.assert_array_equal(values, trace.values[:, trace.n_history])
