"""One decision followed through the logs and the spans of all processes of a running platform."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.e2e.collector import Span
from tests.e2e.conftest import ShortDemo

# whoever comes first waits for the demo
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
JOBS = ("ingest.resample_shard", "forecast.forecast_shard", "decide.decide_shard")
PATIENCE_S = 90


def applied(demo: ShortDemo) -> dict[str, Any]:
    """The operator's line about one decision that it applied, and that a push has led to.

    (The first one of a demo is made because a sweep finds the history without a forecast. The lines
    of a service with pools are of one pool each, and of those alone that change.)
    """
    pushed = {x["trace_id"] for x in demo.log_lines("ingest") if x["event"] == "request"}
    lines = [x for x in demo.log_lines("operator") if x["event"] == "action"]
    whole = (x for x in lines if "part" not in x)
    return next(x for x in whole if x["result"] == "applied" and x["trace_id"] in pushed)


def test_one_decision_is_followed_through_the_logs(short_demo: ShortDemo) -> None:
    action = applied(short_demo)
    trace_id, decision_id = action["trace_id"], action["decision_id"]
    ids = ("trace_id", "workload_id", "forecast_id", "decision_id", "namespace", "workload")

    pipeline = short_demo.log_lines("worker-pipeline")
    (decision,) = [x for x in pipeline if x.get("decision_id") == decision_id]
    assert decision["event"] == "decision"
    assert {name: decision[name] for name in ids} == {name: action[name] for name in ids}
    assert decision["job"] == "decide.decide_shard"
    assert decision["to_replicas"] == action["to_replicas"]

    done = [x for x in pipeline if x["event"] == "job_done" and x["trace_id"] == trace_id]
    assert {JOBS[0], JOBS[2]} <= {x["job"] for x in done}
    forecasts = short_demo.log_lines("worker-forecast")
    assert JOBS[1] in {x["job"] for x in forecasts if x.get("trace_id") == trace_id}

    (request,) = [x for x in short_demo.log_lines("ingest") if x.get("trace_id") == trace_id]
    assert (request["event"], request["method"]) == ("request", "POST")
    assert (request["route"], request["status"]) == ("/v1/observations", 202)
    assert len({x["span_id"] for x in (request, *done, decision, action)}) >= 4
    times = [x["timestamp"] for x in (request, decision, action)]
    assert times[1:] == sorted(times[1:])


def test_one_trace_goes_from_the_request_to_the_patch(short_demo: ShortDemo) -> None:
    pytest.importorskip("opentelemetry.sdk")
    action = applied(short_demo)

    def arrived() -> dict[str, Span]:
        return {x.span_id: x for x in short_demo.spans if x.trace_id == action["trace_id"]}

    deadline = time.monotonic() + PATIENCE_S
    while action["span_id"] not in arrived() or len(chain(arrived(), action["span_id"])) < 5:
        assert time.monotonic() < deadline, sorted(x.name for x in arrived().values())
        time.sleep(0.2)  # processes send their spans every few seconds

    path = chain(arrived(), action["span_id"])
    assert [(x.service, x.name) for x in path] == [
        ("harmony-ingest", "ingest POST"),
        ("harmony-worker-ingest-decide", JOBS[0]),
        ("harmony-worker-forecast", JOBS[1]),
        ("harmony-worker-ingest-decide", JOBS[2]),
        ("harmony-operator", "operator.patch_scale"),
    ]
    assert path[-1].attributes["harmony.decision_id"] == str(action["decision_id"])
    assert not any(x.is_error for x in path)


def chain(spans: dict[str, Span], last_id: str) -> list[Span]:
    """A span and those above it, the first one first."""
    found: list[Span] = []
    while last_id in spans:
        found.insert(0, spans[last_id])
        last_id = spans[last_id].parent_id
    return found
