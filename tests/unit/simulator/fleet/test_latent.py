"""Latent intensity: what workloads share."""

from __future__ import annotations

import numpy as np

from services.simulator.fleet.calibration import DAILY_RANGE_LOG, STEP_CHANGE_LOG


def test_step_changes_are_of_the_size_seen_in_servegen(fleet):
    llm = [i for i, w in enumerate(fleet.workloads) if w.kind == "llm"]
    log = np.log(fleet.demand[llm])
    # two steps of 300 s are one step of the trace
    change = np.abs(log[:, 2:] - log[:, :-2]).ravel()
    p50, p95, _ = np.percentile(change, [50, 95, 99])
    assert 0.6 * STEP_CHANGE_LOG[0] < p50 < 1.5 * STEP_CHANGE_LOG[0]
    assert 0.3 * STEP_CHANGE_LOG[1] < p95 < 1.2 * STEP_CHANGE_LOG[1]
    # heavier than a normal: p99 of |x| over p50 is 3.8 there
    assert np.percentile(change, 99.5) / p50 > 4.16


def test_days_are_as_deep_as_in_servegen(fleet):
    log = np.log(fleet.demand[:, :2016]).reshape(24, 7, 288)
    day = np.median(log, axis=1)
    smooth = day.reshape(24, 24, 12).mean(axis=2)
    depth = smooth.max(axis=1) - smooth.min(axis=1)
    assert 0.7 * DAILY_RANGE_LOG[0] < np.median(depth) < 1.3 * DAILY_RANGE_LOG[1]


def test_workloads_share_some_of_their_noise(fleet):
    hourly = np.log(fleet.demand[:, : 168 * 12]).reshape(24, 168, 12).mean(axis=2)
    change = np.diff(hourly, axis=1)
    # shocks, not cycles: remove each hour of day's mean change
    cycle = change[:, :144].reshape(24, 6, 24).mean(axis=1)
    shocks = change[:, :144] - np.tile(cycle, (1, 6))
    correlation = np.corrcoef(shocks)
    off = correlation[~np.eye(24, dtype=bool)]
    assert off.mean() > 0.05
