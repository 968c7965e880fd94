"""The past of an indicator whose query was corrected, or that was added later."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text

from services.ingest import service
from services.ingest.deps import IngestDeps
from services.ingest.pull.service import pull_shard
from services.ingest.series.source import SourceError
from services.kernel import jobs
from services.kernel.clock import FixedClock
from services.kernel.domain import CapacitySpec, IndicatorSpec, WorkloadSpec
from services.kernel.jobs import RecordingSender
from services.kernel.settings import Settings
from tests.contract.ingest.prometheus_world import T0, FakeSource
from tests.integration.ingest.conftest import Register, stored_steps

pytestmark = pytest.mark.integration
STEP = timedelta(seconds=60)
LONG = timedelta(minutes=30)
LOAD = IndicatorSpec(name="load_rps", level=1, query="sum(load)")
OTHER = IndicatorSpec(name="tokens_per_s", level=1, query="sum(load)")


@pytest.fixture
def source(deps: IngestDeps, clock: FixedClock, settings: Settings) -> FakeSource:
    deps.settings = settings.model_copy(update={"fit_max_steps": 60})
    deps.source = FakeSource({"60 * sum(load)": lambda s: 1800.0, "sum(load)": lambda s: 30.0})
    clock.advance(60)
    return deps.source


def run(deps: IngestDeps, clock: FixedClock, n_steps: int) -> None:
    for _ in range(n_steps):
        pull_shard(deps, 0, clock.now())
        service.resample_shard(deps, 0, clock.now())
        clock.advance(60)


def set_indicators(deps: IngestDeps, *indicators: IndicatorSpec) -> None:
    spec = WorkloadSpec(
        target="Deployment/x",
        demand=indicators[0].name,
        indicators=indicators,
        capacity=CapacitySpec(per_replica=10.0),
    )
    statement = text(
        "UPDATE workloads SET spec = CAST(:spec AS jsonb), spec_version = spec_version + 1"
    )
    with deps.engine.begin() as connection:
        connection.execute(statement, {"spec": spec.model_dump_json()})


def values(deps: IngestDeps, workload_id: int, indicator: IndicatorSpec) -> dict[int, float]:
    """Value per step that has one, numbered from T0."""
    steps = stored_steps(deps.engine, workload_id, indicator.name)
    return {(at - T0) // STEP: value for at, value in steps if value is not None}


def long_ones(source: FakeSource) -> list[str]:
    return [one.expression for one in source.asked if one.end_at - one.start_at > LONG]


@pytest.mark.parametrize("typo", ["sum(laod)", "sum(load"])
@pytest.mark.parametrize("others", [(), (OTHER,)])
def test_the_past_of_a_corrected_query_is_read(
    deps: IngestDeps,
    clock: FixedClock,
    register: Register,
    source: FakeSource,
    typo: str,
    others: tuple[IndicatorSpec, ...],
) -> None:
    (workload_id,) = register(1, (LOAD.model_copy(update={"query": typo}), *others))
    run(deps, clock, 5)
    source.asked.clear()
    set_indicators(deps, LOAD, *others)
    run(deps, clock, 2)
    assert long_ones(source) == ["sum(load)"], "once, and of that indicator alone"
    assert set(values(deps, workload_id, LOAD)) >= set(range(-60, 7))
    source.asked.clear()
    run(deps, clock, 12)
    assert long_ones(source) == []


def test_the_past_of_an_indicator_that_was_added_is_read(
    deps: IngestDeps, clock: FixedClock, register: Register, source: FakeSource
) -> None:
    (workload_id,) = register(1, (LOAD,))
    run(deps, clock, 3)
    source.asked.clear()
    set_indicators(deps, LOAD, OTHER)
    run(deps, clock, 1)
    assert len(long_ones(source)) == 1
    assert set(values(deps, workload_id, OTHER)) >= set(range(-60, 4))


def test_what_was_pushed_and_is_pulled_now_has_the_past_of_its_query(
    deps: IngestDeps, clock: FixedClock, register: Register, source: FakeSource
) -> None:
    (workload_id,) = register(1, (LOAD, OTHER.model_copy(update={"query": ""})))
    run(deps, clock, 3)
    assert values(deps, workload_id, OTHER) == {}
    set_indicators(deps, LOAD, OTHER)
    run(deps, clock, 1)
    assert set(values(deps, workload_id, OTHER)) >= set(range(-60, 4))


def test_values_of_another_unit_are_replaced(
    deps: IngestDeps,
    clock: FixedClock,
    register: Register,
    source: FakeSource,
    sender: RecordingSender,
) -> None:
    (workload_id,) = register(1, (LOAD.model_copy(update={"query": "60 * sum(load)"}),))
    run(deps, clock, 20)
    assert set(values(deps, workload_id, LOAD).values()) == {1800.0}
    set_indicators(deps, LOAD)
    source.error = SourceError("timeout", "no answer within 10 s")
    sender.sent.clear()
    run(deps, clock, 1)
    source.error = None
    run(deps, clock, 11)
    found = values(deps, workload_id, LOAD)
    assert {step: value for step, value in found.items() if step >= -28} == dict.fromkeys(
        [step for step in found if step >= -28], 30.0
    )
    assert {jobs.CALIBRATE_PRIOR, jobs.LEARN_HISTORY} <= {job.name for job in sender.sent}


@pytest.mark.parametrize("note", [None, "0123456789abcdef"])
def test_an_upgrade_takes_todays_queries_as_those_that_were_asked_by(
    deps: IngestDeps,
    clock: FixedClock,
    register: Register,
    source: FakeSource,
    note: str | None,
) -> None:
    (workload_id,) = register(1, (LOAD,))
    run(deps, clock, 3)
    with deps.engine.begin() as connection:
        connection.execute(text("UPDATE ingest_cursors SET counts_asked = :note"), {"note": note})
    source.asked.clear()
    run(deps, clock, 2)
    assert long_ones(source) == []
    set_indicators(deps, LOAD.model_copy(update={"query": "60 * sum(load)"}))
    run(deps, clock, 1)
    assert long_ones(source) == ["60 * sum(load)"], "but the next change counts"
    assert values(deps, workload_id, LOAD)[-60] == 1800.0
