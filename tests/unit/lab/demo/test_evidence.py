"""What the report shows beside the scores."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from services.lab.demo import evidence
from services.simulator.fleet import Fleet
from tests.unit.simulator.fleets import make_fleet


@dataclass
class Row:
    origin_at: datetime
    quantile_levels: list[float]
    quantiles: list[float]
    rung: str = "model"


@pytest.fixture
def fleet() -> Fleet:
    demand = np.tile(np.arange(12.0), (2, 1))
    demand[1, 9] = np.nan
    return make_fleet(demand, n_history=6)


@pytest.fixture
def stored(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> dict[int, list[Row]]:
    """Forecasts by workload, which a test fills."""
    rows: dict[int, list[Row]] = {}
    ids = {workload.key: 10 + i for i, workload in enumerate(fleet.workloads)}
    monkeypatch.setattr(evidence, "workload_ids", lambda _: ids)
    monkeypatch.setattr(evidence, "next_step_forecasts", lambda _, one, __: rows.get(one, []))
    monkeypatch.setattr(evidence, "measured_starts", lambda _: {10: [61.0, 59.0]})
    return rows


def forecast(fleet: Fleet, step: int, *quantiles: float) -> Row:
    """Made at the end of the step before `step`, for `step`."""
    origin = fleet.step_at(step) - timedelta(seconds=fleet.step_s)
    return Row(origin.astimezone(UTC), [0.1, 0.5, 0.9][: len(quantiles)], list(quantiles))


def test_demand_is_compared_with_the_forecast_of_its_own_step(
    fleet: Fleet, stored: dict[int, list[Row]]
) -> None:
    engine: Any = None
    assert evidence.calibration_of(engine, fleet) is None
    # demand of step k is k: at or below the median and the upper quantile, above the lower one
    stored[10] = [forecast(fleet, k, k - 0.5, k, k + 0.5) for k in (7, 8)]
    # an unknown demand and a step beyond the replay are not compared; a single level is another's
    stored[11] = [forecast(fleet, 9, 0, 0, 0), forecast(fleet, 12, 0, 0, 0), forecast(fleet, 8, 0)]
    stored[11].append(forecast(fleet, 10, 11, 12, 13))
    found = evidence.calibration_of(engine, fleet)
    assert found is not None
    assert (found.n_forecasts, found.lead_steps) == (3, 1)
    assert found.levels.tolist() == [0.1, 0.5, 0.9]
    assert found.observed == pytest.approx([1 / 3, 1.0, 1.0])


def test_every_service_states_a_start_and_some_were_measured(
    fleet: Fleet, stored: dict[int, list[Row]]
) -> None:
    engine: Any = None
    first, second = evidence.start_times(engine, fleet)
    assert first.measured_s.tolist() == [61.0, 59.0]
    assert second.measured_s.size == 0
    assert first.stated_s == fleet.workloads[0].startup.median_s
