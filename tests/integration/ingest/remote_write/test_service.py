"""Remote write over HTTP: what is stored, what is refused, and what the sender is told to do."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings as hypothesis_settings, strategies as st
from pydantic import SecretStr
from sqlalchemy import Engine, create_engine, text

from services.ingest import service
from services.ingest.api import make_app
from services.ingest.deps import IngestDeps
from services.ingest.series.rules import parse_rules
from services.kernel import jobs, telemetry
from services.kernel.clock import FixedClock
from services.kernel.jobs import RecordingSender
from services.kernel.security.keys import Role, create_key
from services.kernel.settings import Settings
from tests.integration.ingest.conftest import Register, request, stored_steps
from tests.unit.ingest.remote_requests import (
    STALE,
    V1,
    V2,
    Series,
    body_v1,
    body_v2,
    indicator,
    packed,
)

pytestmark = pytest.mark.integration
PATH = "/api/v1/write"
T0 = datetime(2026, 1, 5, tzinfo=UTC)
STEP = timedelta(seconds=60)
RATE, TOKENS, HEAT = "request_rate_rps", "output_tokens_per_s", "gpu_temperature_c"
WRITTEN = "x-prometheus-remote-write-samples-written"
KEY = {"Authorization": "Bearer sesame"}


@pytest.fixture
def app(deps: IngestDeps, clock: FixedClock, settings: Settings, register: Register) -> FastAPI:
    register()
    clock.advance(60)
    deps.settings = settings.model_copy(update={"push_token": SecretStr("sesame")})
    return make_app(deps)


def at(offset_s: float) -> int:
    return round((T0.timestamp() + offset_s) * 1000)


def post(app: FastAPI, *series: Series, is_v2: bool = False):  # type: ignore[no-untyped-def]
    body = body_v2(*series) if is_v2 else body_v1(*series)
    return request(app, "POST", PATH, content=body, headers=KEY | (V2 if is_v2 else V1))


def observations(database: Engine) -> list[tuple[str, float, float]]:
    statement = text(
        "SELECT indicator, extract(epoch FROM observed_at - :t0), value FROM observations "
        "ORDER BY 1, 2"
    )
    with database.connect() as connection:
        rows = connection.execute(statement, {"t0": T0})
        return [(name, float(offset_s), value) for name, offset_s, value in rows]


def counted(reason: str) -> float:
    labels = {"source": "remote_write", "reason": reason}
    return telemetry.REGISTRY.get_sample_value("harmony_samples_rejected_total", labels) or 0.0


@pytest.mark.parametrize("is_v2", [False, True])
def test_a_write_flows_to_a_forecast(
    app: FastAPI, deps: IngestDeps, sender: RecordingSender, is_v2: bool
) -> None:
    gauge = [(at(15 * n), 10.0 + n) for n in range(4)]
    counter = [(at(15 * n), 600.0 * n) for n in range(1, 5)]
    answer = post(app, (indicator(RATE), gauge), (indicator(TOKENS), counter), is_v2=is_v2)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers[WRITTEN] == "8"
    assert answer.headers["x-prometheus-remote-write-histograms-written"] == "0"
    assert answer.headers["x-prometheus-remote-write-exemplars-written"] == "0"
    assert [job.name for job in sender.sent] == [jobs.INGEST_RESAMPLE]
    assert service.resample_shard(deps, 0, deps.clock.now()).origins == (T0,)
    assert stored_steps(deps.engine, 1, RATE) == [(T0, 11.5)]
    assert stored_steps(deps.engine, 1, TOKENS) == [(T0, 40.0)]
    assert stored_steps(deps.engine, 1, HEAT) == [(T0, None)]


def test_a_reset_is_left_out_as_in_a_pull(app: FastAPI, deps: IngestDeps) -> None:
    readings = [(at(-1), 5000.0), (at(20), 5210.0), (at(40), 100.0), (at(60), 300.0)]
    assert post(app, (indicator(TOKENS), readings)).status_code == 204
    service.resample_shard(deps, 0, deps.clock.now())
    assert stored_steps(deps.engine, 1, TOKENS)[-1] == (T0, pytest.approx(10.0))


def test_order_and_repetition_change_nothing(
    app: FastAPI, deps: IngestDeps, database: Engine
) -> None:
    newer, older = [(at(45), 4.0), (at(45), 5.0)], [(at(15), 1.0), (at(30), 3.0)]
    for samples in (newer, older, newer, older):
        assert post(app, (indicator(RATE), samples)).status_code == 204
    assert observations(database) == [(RATE, 15, 1.0), (RATE, 30, 3.0), (RATE, 45, 5.0)]
    service.resample_shard(deps, 0, deps.clock.now())
    assert stored_steps(deps.engine, 1, RATE) == [(T0, 3.0)]


def test_what_says_nothing_is_a_gap_and_no_fault(app: FastAPI, database: Engine) -> None:
    names = ("stale_marker", "not_finite", "unmapped")
    before = [counted(name) for name in names]
    said = [(at(10), math.nan), (at(20), 2.0), (at(30), math.inf), (at(40), STALE)]
    answer = post(app, (indicator(RATE), said), ({"__name__": "up"}, [(at(0), 1.0)]))
    assert (answer.status_code, answer.headers[WRITTEN]) == (204, "5")  # none is to be sent again
    assert observations(database) == [(RATE, 20, 2.0)]
    assert [counted(name) - old for name, old in zip(names, before, strict=True)] == [1, 2, 1]


def test_a_request_of_metadata_only_is_welcome(app: FastAPI) -> None:
    answer = request(app, "POST", PATH, content=packed(b"\x1a\x02\x08\x01"), headers=KEY | V1)
    assert (answer.status_code, answer.headers[WRITTEN]) == (204, "0")


def test_what_is_wrong_is_told_and_the_rest_is_kept(app: FastAPI, database: Engine) -> None:
    answer = post(
        app,
        (indicator(RATE), [(at(10), 1.0), (at(20), -1.0), (at(600), 1.0), (at(-9000), 1.0)]),
        (indicator("nonsense"), [(at(10), 1.0)]),
        (indicator(RATE, workload="nobody"), [(at(10), 1.0)]),
    )
    assert (answer.status_code, answer.headers[WRITTEN]) == (400, "1")
    content = answer.json()
    assert content["code"] == "bad_request"
    reasons = {found["field"] for found in content["errors"]}
    faults = {"negative", "future", "ancient"}
    assert reasons == faults | {"unknown_indicator", "unknown_workload"}
    assert observations(database) == [(RATE, 10, 1.0)]


def test_a_backlog_of_an_outage_fills_its_steps(
    app: FastAPI, deps: IngestDeps, clock: FixedClock
) -> None:
    clock.advance(3600)
    service.resample_shard(deps, 0, clock.now())
    assert post(app, (indicator(RATE), [(at(10), 7.0)])).status_code == 204
    service.resample_shard(deps, 0, clock.now())
    assert stored_steps(deps.engine, 1, RATE)[0] == (T0, 7.0)


def test_a_second_series_of_an_indicator_is_refused_until_the_first_has_ended(
    app: FastAPI, clock: FixedClock, database: Engine
) -> None:
    one, other = indicator(RATE, pod="a"), indicator(RATE, pod="b")
    answer = post(app, (one, [(at(10), 1.0)]), (other, [(at(10), 100.0)]))
    assert answer.status_code == 400
    assert "several_series" in answer.json()["detail"]
    assert "pod='b'" in answer.json()["detail"]
    assert post(app, (other, [(at(20), 100.0)])).status_code == 400
    assert post(app, (one, [(at(30), 1.0), (at(40), STALE)])).status_code == 204
    assert post(app, (other, [(at(50), 2.0)])).status_code == 204
    assert observations(database) == [(RATE, 10, 1.0), (RATE, 30, 1.0), (RATE, 50, 2.0)]
    clock.advance(400)  # the other one falls silent without a word
    assert post(app, (one, [(at(340), 9.0)])).status_code == 400
    assert post(app, (one, [(at(360), 9.0)])).status_code == 204


def test_one_replica_of_a_prometheus_is_listened_to_and_the_other_after_a_minute(
    app: FastAPI, database: Engine
) -> None:
    """Readings of a counter that take turns would look like resets."""
    before = counted("other_replica")
    sent = [("a", 0, 0.0), ("b", 7, -40.0), ("a", 15, 150.0), ("b", 22, 110.0), ("a", -50, 0.0)]
    for replica, offset_s, value in sent:
        series = indicator(TOKENS, prometheus_replica=replica)
        answer = post(app, (series, [(at(offset_s), abs(value))]))
        assert answer.status_code == 204
        assert answer.headers[WRITTEN] == "1"
    assert counted("other_replica") == before + 2
    silent_since_s = 15
    for offset_s in (silent_since_s + 60, silent_since_s + 61):
        series = indicator(TOKENS, prometheus_replica="b")
        assert post(app, (series, [(at(offset_s), 900.0)])).status_code == 204
    assert [offset_s for _, offset_s, _ in observations(database)] == [-50, 0, 15, 76]


def test_rules_map_series(app: FastAPI, deps: IngestDeps, database: Engine) -> None:
    rules = (
        "rules: [{match: 'vllm:running:sum{env=~\"prod|stage\"}', namespace: shop, "
        "workload: $model, indicator: request_rate_rps}]"
    )
    deps.remote_rules = parse_rules(rules)
    right = {"__name__": "vllm:running:sum", "env": "prod", "model": "w0"}
    wrong = right | {"env": "dev"}
    answer = post(app, (right, [(at(10), 3.0)]), (wrong, [(at(10), 4.0)]))
    assert (answer.status_code, answer.headers[WRITTEN]) == (204, "2")
    assert observations(database) == [(RATE, 10, 3.0)]


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        (V1 | {"Content-Type": "application/json"}, 415, "unsupported_media_type"),
        (V1 | {"Content-Encoding": "gzip"}, 415, "unsupported_media_type"),
        (V1, 400, "bad_request"),
        (V2, 400, "bad_request"),
    ],
)
def test_what_cannot_be_read_is_not_to_be_sent_again(
    app: FastAPI, headers: dict[str, str], status: int, code: str
) -> None:
    answer = request(app, "POST", PATH, content=b"nonsense", headers=KEY | headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_sizes_are_bounded(app: FastAPI, deps: IngestDeps) -> None:
    deps.settings = deps.settings.model_copy(
        update={"remote_write_max_bytes": 2048, "push_max_samples": 3}
    )
    many = request(app, "POST", PATH, content=packed(b"\0" * 2049), headers=KEY | V1)
    assert many.status_code == 413
    assert "2049 bytes once decompressed" in many.json()["detail"]
    answer = post(app, (indicator(RATE), [(at(n), 1.0) for n in range(4)]))
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
    deps.settings = deps.settings.model_copy(update={"push_max_bytes": 1024})
    long = request(make_app(deps), "POST", PATH, content=b" " * 2000, headers=KEY | V1)
    assert long.status_code == 413


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (None, 401),
        ("Basic c2VzYW1l", 401),
        ("Bearer wrong", 401),
        ("Bearer hé", 401),
        ("Bearer sesame", 204),
        ("Bearer {viewer}", 403),
        ("Bearer {operator}", 204),
        ("Bearer {operator}x", 401),
    ],
)
def test_a_key_is_needed(
    app: FastAPI, database: Engine, clock: FixedClock, header: str | None, status: int
) -> None:
    with database.begin() as connection:
        keys = {
            role.value: create_key(connection, "prometheus", role, clock.now()).token
            for role in (Role.VIEWER, Role.OPERATOR)
        }
    given = {} if header is None else {"Authorization": header.format(**keys).encode()}
    answer = request(app, "POST", PATH, content=packed(b""), headers=V1 | given)
    assert answer.status_code == status


def test_a_key_of_other_namespaces_writes_nothing(
    app: FastAPI, database: Engine, clock: FixedClock
) -> None:
    for namespace, status in (("bar", 400), ("shop", 204)):
        with database.begin() as connection:
            made = create_key(
                connection, "prometheus", Role.OPERATOR, clock.now(), namespaces=[namespace]
            )
        body = body_v1((indicator(RATE), [(at(10), 1.0)]))
        headers = V1 | {"Authorization": f"Bearer {made.token}"}
        answer = request(app, "POST", PATH, content=body, headers=headers)
        assert answer.status_code == status, namespace
        assert ("forbidden_namespace" in answer.text) == (status == 400)


def test_without_a_push_token_a_key_is_needed_all_the_same(app: FastAPI, deps: IngestDeps) -> None:
    deps.settings = deps.settings.model_copy(update={"push_token": None})
    answer = request(app, "POST", PATH, content=packed(b""), headers=V1)
    assert answer.status_code == 401


def test_a_database_that_is_away_is_to_be_asked_again(app: FastAPI, deps: IngestDeps) -> None:
    deps.engine = create_engine(
        "postgresql+psycopg://nobody@127.0.0.1:1/none", connect_args={"connect_timeout": 2}
    )
    answer = post(app, (indicator(RATE), [(at(10), 1.0)]))
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


VALUES = st.floats() | st.just(STALE)
TIMES = st.integers(-(2**63), 2**63 - 1) | st.integers(at(0), at(60))
WORDS = st.text(max_size=8)
LABELS = st.dictionaries(WORDS, WORDS, max_size=3)
OURS = st.builds(indicator, st.sampled_from([RATE, TOKENS, "x"]), WORDS | st.just("w0"), pod=WORDS)
SERIES = st.tuples(LABELS | OURS, st.lists(st.tuples(TIMES, VALUES), max_size=4))


@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(series=st.lists(SERIES, max_size=4), is_v2=st.booleans(), cut=st.integers(0, 400))
def test_nothing_that_is_sent_is_a_fault_of_the_server(
    app: FastAPI, series: list[Series], is_v2: bool, cut: int
) -> None:
    body = body_v2(*series) if is_v2 else body_v1(*series)
    kept = body[:cut] if cut % 3 == 0 else body
    answer = request(app, "POST", PATH, content=kept, headers=KEY | (V2 if is_v2 else V1))
    assert answer.status_code in {204, 400}
