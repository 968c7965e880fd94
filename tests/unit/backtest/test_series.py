"""Measurements of a replay."""

from __future__ import annotations

import numpy as np
import pytest

from services.backtest.series import MeasuredFleet
from services.simulator import simulate_history
from services.simulator.fleet import Fleet
from services.simulator.fleet.meters import ServiceMeters


def test_measurements_end_where_they_were_read(fleet: Fleet) -> None:
    history = simulate_history(fleet)
    measured = MeasuredFleet(fleet, ServiceMeters(fleet, history.ready_mean))
    n = fleet.n_history
    assert np.isnan(measured.demand(0, n + 4, 4)).all()
    measured.read(n, history.last_spec)
    column = [spec.name for spec in fleet.workloads[0].indicators].index(fleet.workloads[0].demand)
    if fleet.observed[0, n, column]:
        assert measured.demand(0, n + 1, 1)[0] == pytest.approx(fleet.values[0, n, column])
    assert [s.n_steps for s in measured.series(n + 1, 50)] == [50, 50, 50]
