"""The gauge of rungs shows one rung of each workload: the newest."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from services.forecasting.forecast.measures import Rungs, measure
from services.forecasting.rows.translate import ForecastRow, WorkloadRow
from services.kernel import telemetry
from services.kernel.domain import CapacitySpec, IndicatorSpec, WorkloadSpec

T0 = datetime(2026, 1, 5, tzinfo=UTC)
STEP_S = 60
SPEC = WorkloadSpec(
    target="Deployment/x",
    demand="load_rps",
    indicators=(IndicatorSpec(name="load_rps", level=1),),
    capacity=CapacitySpec(per_replica=1.0),
)


def workload(number: int) -> WorkloadRow:
    return WorkloadRow(number, "measured", f"w{number}", STEP_S, SPEC)


def answer(number: int, rung: str, step: int, reason: str = "") -> ForecastRow:
    origin_at = T0 + timedelta(seconds=step * STEP_S)
    return ForecastRow(
        number, origin_at, "flow-1", rung, reason, STEP_S, 1, [0.9], [[7.0]], 0, None, None
    )


def shown(number: int) -> dict[str, float]:
    """Rungs that the gauge shows of a workload."""
    found = telemetry.fallback_active.collect()[0].samples
    mine = [s for s in found if s.labels["workload"] == f"w{number}"]
    return {s.labels["rung"]: s.value for s in mine if s.labels["namespace"] == "measured"}


def test_a_rung_that_was_left_is_shown_no_longer() -> None:
    rungs, fleet = Rungs(), [workload(1)]
    measure(fleet, [answer(1, "model", 0)], 1, rungs)
    assert shown(1) == {"model": 0.0}
    measure(fleet, [answer(1, "trailing_percentile", 1, "demand is stale")], 1, rungs)
    assert shown(1) == {"trailing_percentile": 1.0}
    measure(fleet, [answer(1, "seasonal", 2, "short history")], 1, rungs)
    assert shown(1) == {"seasonal": 1.0}
    measure(fleet, [answer(1, "model", 3)], 1, rungs)
    assert shown(1) == {"model": 0.0}
    labels = {"namespace": "measured", "workload": "w1", "q": "0.9"}
    assert telemetry.REGISTRY.get_sample_value("harmony_forecast_quantile", labels) == 7.0


def test_a_job_that_comes_late_changes_nothing() -> None:
    rungs, fleet = Rungs(), [workload(2)]
    measure(fleet, [answer(2, "model", 5)], 1, rungs)
    measure(fleet, [answer(2, "seasonal", 4, "short history")], 1, rungs)
    assert shown(2) == {"model": 0.0}


def test_a_workload_that_others_forecast_now_is_forgotten() -> None:
    rungs = Rungs()
    measure([workload(3)], [answer(3, "seasonal", 0, "short history")], 1, rungs)
    for step in range(1, 4):
        measure([workload(4)], [answer(4, "model", step)], 1, rungs)
    assert shown(3) == {"seasonal": 1.0}
    measure([workload(4)], [answer(4, "model", 4)], 1, rungs)
    assert (shown(3), shown(4)) == ({}, {"model": 0.0})
    measure([workload(3)], [answer(3, "model", 5)], 1, rungs)
    assert shown(3) == {"model": 0.0}


def test_what_the_model_says_of_further_loads_is_no_fallback() -> None:
    rungs, fleet = Rungs(), [workload(5)]
    measure(fleet, [answer(5, "model", 0, "no observed output_tokens_per_s")], 1, rungs)
    assert shown(5) == {"model": 0.0}
    measure(fleet, [answer(5, "none", 1, "no observed demand")], 1, rungs)
    assert shown(5) == {"none": 1.0}
