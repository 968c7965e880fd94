"""A worker tells Prometheus as much after ten thousand workloads as after one."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import cast

from prometheus_client import generate_latest

from decider import Decision
from decider.result import Direction, Reason
from services.decision.decide.outcomes import WorkloadOutcomes
from services.decision.decide.report import DecidedWorkload, publish, publish_freshness
from services.decision.rows.members import ShardMember
from services.forecasting.forecast.measures import measure
from services.forecasting.rows.translate import ForecastRow
from services.ingest.push import service as ingest
from services.ingest.series.samples import Rejections
from services.kernel import telemetry
from services.kernel.domain import CapacitySpec, IndicatorSpec, WorkloadSpec

AT = datetime(2026, 1, 5, tzinfo=UTC)
STEP_S = 60
MOST_BYTES = 16 * 1024
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
    steps = {AT.timestamp(): outcome}
    found = WorkloadOutcomes((), steps, gpu_hours={"H100": 1.0})  # type: ignore[arg-type]
    said = SimpleNamespace(
        direction=Direction.UP, reason=Reason.SCALE_UP_RISK, binding_constraint=""
    )
    decided = [DecidedWorkload(member, cast(Decision, said), number, number)]
    row = ForecastRow(number, AT, "flow-1", "model", "", STEP_S, 1, [0.9], [[7.0]], 0, None, None)
    stored_at = AT + timedelta(seconds=STEP_S + 5)
    ingest.measure("push", 8, Rejections())
    measure([row], stored_at)
    publish({member.id: found}, decided)
    publish_freshness(decided, AT, stored_at)


def sizes_of_pages() -> tuple[int, int]:
    """Bytes of a process's page after one workload and after ten thousand."""
    work_on(0)
    before = generate_latest(telemetry.REGISTRY)
    for number in range(1, 10_000):
        work_on(number)
    after = generate_latest(telemetry.REGISTRY)
    assert after.count(b"\n") == before.count(b"\n")
    assert b"llama-" not in after
    return len(before), len(after)


def test_ten_thousand_workloads_make_no_series_of_their_own() -> None:
    before, after = sizes_of_pages()
    # what other tests of this process have counted is in both
    assert after - before < MOST_MORE_BYTES


def test_the_page_of_a_worker_is_small() -> None:
    """In a process of its own, where nothing else was counted."""
    command = [sys.executable, "-m", __name__]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout
    after = int(told.split()[-1])
    print(f"{after / 1024:.0f} KiB after 10,000 workloads")
    assert after < MOST_BYTES


if __name__ == "__main__":
    print(*sizes_of_pages())
