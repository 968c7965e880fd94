"""A load that is not plausible: refused at each door, named with its workload, no more lost."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import Engine, text

from services.ingest.api import make_app
from services.ingest.deps import IngestDeps
from services.ingest.pull.history import HistoryFrame, WorkloadHistory, backfill
from services.ingest.pull.service import pull_shard
from services.ingest.push.service import push
from services.ingest.series.samples import LARGEST_VALUE
from services.kernel import telemetry
from services.kernel.clock import FixedClock
from services.kernel.domain import CapacitySpec, FurtherLoadSpec, IndicatorSpec
from tests.contract.ingest.prometheus_world import FakeSource
from tests.integration.ingest.conftest import INDICATORS, Register, request, stored_steps
from tests.integration.ingest.pushes import HEAT, RATE, T0, TOKENS, at_s, body, push_rate, resample
from tests.unit.ingest.remote_requests import V1, body_v1, indicator

pytestmark = pytest.mark.integration
CAPACITY = CapacitySpec(
    per_replica=10.0, also_bound_by=(FurtherLoadSpec(indicator=TOKENS, per_replica=1000.0),)
)
IMPLAUSIBLE_RATE = 100_001.0
"""Over 1000 times of what ten replicas carry, and over what is taken of any load."""


@pytest.fixture(autouse=True)
def _a_minute(clock: FixedClock) -> None:
    clock.advance(60)


def named(engine: Engine) -> dict[int, str]:
    """Per workload the message about its refused loads."""
    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT workload_id, message FROM workload_errors WHERE stage = 'ingest'")
        )
        return {row.workload_id: row.message for row in rows}


def refused(source: str) -> float:
    """Samples refused so far."""
    labels = {"source": source, "reason": "implausible"}
    return telemetry.REGISTRY.get_sample_value("harmony_samples_rejected_total", labels) or 0.0


@pytest.mark.parametrize("value", [IMPLAUSIBLE_RATE, 2_147_483_632.0, LARGEST_VALUE])
def test_a_push_loses_the_implausible_sample_and_nothing_else(
    deps: IngestDeps, register: Register, value: float
) -> None:
    first, second = register(n=2)
    before = refused("push")
    result = push(
        deps,
        body(
            ("w0", RATE, [[at_s(1), 7.0], [at_s(2), value]]),
            ("w0", HEAT, [[at_s(1), 2e6]]),
            ("w1", RATE, [[at_s(1), 100_000.0]]),
        ),
    )
    assert result.n_accepted == 3  # what is no load is not measured against the capacity
    ((reason, count, example),) = [(r.reason, r.count, r.example) for r in result.rejected]
    assert (reason, count) == ("implausible", 1)
    assert example.startswith(f"shop/w0 {RATE} at 2026-01-05T00:00:02+00:00: {value:g} is not")
    assert "at most 100000" in example
    assert refused("push") == before + 1
    assert list(named(deps.engine)) == [first]
    assert f"{RATE}={value:g} is not plausible" in named(deps.engine)[first]

    resample(deps)
    assert stored_steps(deps.engine, first, RATE) == [(T0, 7.0)]
    assert stored_steps(deps.engine, second, RATE) == [(T0, 100_000.0)]


def test_what_is_named_is_forgotten_when_a_load_is_taken_again(
    deps: IngestDeps, register: Register
) -> None:
    (workload,) = register()
    push(deps, body(("w0", RATE, [[at_s(1), IMPLAUSIBLE_RATE]])))
    push(deps, body(("w0", HEAT, [[at_s(1), 40.0]])))
    assert list(named(deps.engine)) == [workload]
    push_rate(deps, (2, 9.0))
    assert named(deps.engine) == {}


def test_a_counter_is_measured_by_its_rate(deps: IngestDeps, register: Register) -> None:
    (workload,) = register(capacity=CAPACITY)
    readings: list[object] = [[at_s(10 + s), 5e12 + 1e4 * s] for s in (0, 30, 50)]
    assert push(deps, body(("w0", TOKENS, readings))).rejected == ()
    push_rate(deps, (1, 1.0))
    resample(deps)
    assert stored_steps(deps.engine, workload, TOKENS) == [(T0, 1e4)]

    before = refused("resample")
    push(deps, body(("w0", TOKENS, [[at_s(60), 9e18]])))
    resample(deps)
    # the step keeps what was observed of it: an observed value is never replaced by a gap
    assert stored_steps(deps.engine, workload, TOKENS) == [(T0, 1e4)]
    assert refused("resample") == before + 1
    assert "output_tokens_per_s=1.8e+17 is not plausible" in named(deps.engine)[workload]

    push(deps, body(("w0", TOKENS, [[at_s(60), 5e12 + 5e5]])))
    resample(deps)
    assert named(deps.engine) == {}


def test_a_further_load_has_a_bound_of_its_own(deps: IngestDeps, register: Register) -> None:
    indicators = (INDICATORS[0], INDICATORS[1].model_copy(update={"kind": "gauge"}))
    register(indicators=indicators, capacity=CAPACITY)
    samples: list[object] = [[at_s(1), 1e7], [at_s(2), 1.1e7]]
    result = push(deps, body(("w0", TOKENS, samples)))
    assert result.n_accepted == 1
    assert [(r.reason, r.count) for r in result.rejected] == [("implausible", 1)]


def test_remote_write_refuses_it_as_well_and_stores_the_rest(
    deps: IngestDeps, register: Register
) -> None:
    (workload,) = register()
    deps.settings = deps.settings.model_copy(update={"push_token": SecretStr("sesame")})
    app: FastAPI = make_app(deps)
    points = [(round(at_s(offset) * 1000), value) for offset, value in ((1, 5.0), (2, 9e18))]
    before = refused("remote_write")
    content = body_v1((indicator(RATE), points))
    headers = {"Authorization": "Bearer sesame", **V1}
    answer = request(app, "POST", "/api/v1/write", content=content, headers=headers)
    assert answer.status_code == 400
    assert "implausible" in answer.text
    assert "at most 100000" in answer.text
    assert refused("remote_write") == before + 1
    assert list(named(deps.engine)) == [workload]
    resample(deps)
    assert stored_steps(deps.engine, workload, RATE) == [(T0, 5.0)]


def test_a_pull_refuses_it_as_well_and_stores_the_rest(
    deps: IngestDeps, clock: FixedClock, register: Register
) -> None:
    queries = {RATE: "wild", HEAT: "tame"}
    indicators = tuple(
        IndicatorSpec(name=name, level=1, query=query) for name, query in queries.items()
    )
    (workload,) = register(indicators=indicators)
    deps.source = FakeSource({"wild": lambda _: 2_147_483_632.0, "tame": lambda _: 42.0})
    before = refused(deps.source.name)
    clock.advance(60)
    pull_shard(deps, 0, clock.now())
    resample(deps)
    assert {value for _, value in stored_steps(deps.engine, workload, RATE)} == {None}
    assert {value for _, value in stored_steps(deps.engine, workload, HEAT)} == {42.0}
    assert refused(deps.source.name) > before
    assert list(named(deps.engine)) == [workload]


def test_history_has_a_gap_for_it(deps: IngestDeps, register: Register) -> None:
    (workload,) = register()
    values = np.array([[5.0], [IMPLAUSIBLE_RATE], [6.0]])
    history = WorkloadHistory((RATE,), values, np.ones(values.shape, dtype=bool))
    start_at = T0 - timedelta(seconds=180)
    result = backfill(deps.engine, [workload], HistoryFrame(start_at, 60, (history,)))
    assert [(r.reason, r.count) for r in result.rejected] == [("implausible", 1)]
    assert [value for _, value in stored_steps(deps.engine, workload, RATE)] == [5.0, None, 6.0]
