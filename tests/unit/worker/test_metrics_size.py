"""A worker tells Prometheus as much after ten thousand workloads as after one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import cast

from prometheus_client import generate_latest

from decider import Decision
from decider.result import Direction, Reason
from services.decision.decide.outcomes import WorkloadOutcomes
from services.decision.decide.report import DecidedWorkload, publish, publish_freshness
from services.decision.rows.inputs import ShardMember
from services.forecasting.forecast.measures import measure
from services.forecasting.rows.translate import ForecastRow
from services.ingest.push import service as ingest
from services.ingest.series.samples import Rejections
from services.kernel import telemetry
from services.kernel.domain import CapacitySpec, IndicatorSpec, WorkloadSpec

AT = datetime(2026, 1, 5, tzinfo=UTC)
STEP_S = 60
MOST_MORE_BYTES = 8 * 1024
"""Counts have more digits, and times."""
SPEC = WorkloadSpec(
    target="Deployment/x",
    demand="load_rps",
    indicators=(IndicatorSpec(name="load_rps", level=1),),
    capacity=CapacitySpec(per_replica=1.0),
)


def work_on(number: int) -> None:
    """What a worker tells of one workload's step: its samples, forecast, outcomes, decision."""
    member = ShardMember(number, f"team-{number % 40}", f"llama-{number}", STEP_S, SPEC)
    outcome = SimpleNamespace(gpu_hours=1.0, cost_usd=2.0)
    results = {member.id: WorkloadOutcomes((), {AT.timestamp(): outcome})}  # type: ignore[dict-item]
    said = SimpleNamespace(
        direction=Direction.UP, reason=Reason.SCALE_UP_RISK, binding_constraint=""
    )
    decided = [DecidedWorkload(member, cast(Decision, said), number, number)]
    row = ForecastRow(number, AT, "flow-1", "model", "", STEP_S, 1, [0.9], [[7.0]], 0, None, None)
    stored_at = AT + timedelta(seconds=STEP_S + 5)
    ingest.measure("push", 8, Rejections())
    measure([row], stored_at)
    publish({member.id: member}, results, decided)
    publish_freshness(decided, AT, stored_at)


def test_ten_thousand_workloads_make_no_series_of_their_own() -> None:
    work_on(0)
    before = generate_latest(telemetry.REGISTRY)
    for number in range(1, 10_000):
        work_on(number)
    after = generate_latest(telemetry.REGISTRY)
    print(f"{len(after) / 1024:.0f} KiB after 10,000 workloads")
    # what other tests of this process have counted is in both
    assert len(after) - len(before) < MOST_MORE_BYTES
    assert after.count(b"\n") == before.count(b"\n")
    assert b"llama-" not in after
