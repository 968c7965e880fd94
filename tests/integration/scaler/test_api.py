"""Every call of the protocol and every error, over real gRPC."""

from __future__ import annotations

import grpc
import pytest
from sqlalchemy import text

from services.kernel.db.session import unit_of_work
from services.scaler import api
from services.scaler.api import METRIC
from services.scaler.proto import externalscaler_pb2 as pb
from services.scaler.server import MAX_MESSAGE_BYTES
from tests.integration.scaler.conftest import Caller, Rows

pytestmark = pytest.mark.integration


def refused(caller: Caller, **metadata: str) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        caller.count(**metadata)
    return caught.value.code(), caught.value.details()


def test_the_metric_is_the_decided_count(caller: Caller, rows: Rows) -> None:
    llama = rows.register()
    rows.decide(llama, 7)
    (metric,) = caller.stub.GetMetricSpec(caller.reference()).metricSpecs
    assert (metric.metricName, metric.targetSize, metric.targetSizeFloat) == (METRIC, 1, 1.0)
    assert caller.count() == 7
    assert caller.count(workload="serving/llama") == 7
    assert caller.is_active()
    rows.clock.advance(rows.step_s)
    rows.decide(llama, 9)
    assert caller.count() == 9


def test_the_newest_decision_of_the_policy_in_force_counts(caller: Caller, rows: Rows) -> None:
    llama = rows.register()
    rows.decide(llama, 7)
    rows.clock.advance(rows.step_s)
    rows.decide(llama, 30, policy_version="shadow-2")
    assert caller.count() == 7


def test_a_stale_decision_is_an_error_that_says_what_to_do(caller: Caller, rows: Rows) -> None:
    llama = rows.register()
    decision = rows.decide(llama, 7)
    rows.clock.advance(3 * rows.step_s - 0.001)
    assert caller.count() == 7
    rows.clock.advance(0.001)
    code, message = refused(caller)
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert f"decision {decision} of GPUAutoscaler serving/llama" in message
    assert "2026-01-05T00:03:00Z" in message
    assert "fallback" in message
    assert "kubectl describe gpua -n serving llama" in message
    assert caller.is_active(), "what is not known must not scale to zero"


def test_no_decision_is_an_error(caller: Caller, rows: Rows) -> None:
    rows.register()
    code, message = refused(caller)
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert "no decision yet" in message
    assert caller.is_active()


def test_an_unknown_workload_is_not_found_by_name(caller: Caller, rows: Rows) -> None:
    rows.register()
    for call in (caller.count, caller.is_active, lambda **m: next(caller.stream(**m))):
        with pytest.raises(grpc.RpcError) as caught:
            call(autoscaler="mistral")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        assert "serving/mistral" in caught.value.details()


def test_a_deleted_workload_is_not_found(caller: Caller, rows: Rows) -> None:
    rows.decide(rows.register(), 7)
    rows.deactivate()
    code, message = refused(caller)
    assert code is grpc.StatusCode.NOT_FOUND
    assert "was deleted" in message


def test_metadata_that_cannot_be_used_is_named_by_every_call(caller: Caller) -> None:
    calls = (
        lambda: caller.count(scalerAddress="x:1"),
        lambda: caller.is_active(scalerAddress="x:1"),
        lambda: next(caller.stream(scalerAddress="x:1")),
        lambda: caller.stub.GetMetricSpec(caller.reference(scalerAddress="x:1")),
    )
    for call in calls:
        with pytest.raises(grpc.RpcError) as caught:
            call()
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "needs autoscaler" in caught.value.details()


def test_an_empty_namespace_and_another_metric_are_refused(caller: Caller) -> None:
    caller.namespace = ""
    assert refused(caller)[0] is grpc.StatusCode.INVALID_ARGUMENT
    request = pb.GetMetricsRequest(scaledObjectRef=caller.reference(), metricName="queue")
    caller.namespace = "serving"
    request.scaledObjectRef.CopyFrom(caller.reference())
    with pytest.raises(grpc.RpcError, match="queue"):
        caller.stub.GetMetrics(request)


def test_the_metric_spec_needs_neither_workload_nor_database(caller: Caller, rows: Rows) -> None:
    with unit_of_work(rows.engine) as work:
        work.connection.execute(text("ALTER TABLE workloads RENAME TO elsewhere"))
    (metric,) = caller.stub.GetMetricSpec(caller.reference()).metricSpecs
    assert metric.metricName == METRIC
    code, message = refused(caller)
    assert code is grpc.StatusCode.UNAVAILABLE
    assert "database" in message


def test_a_database_that_hangs_is_unavailable(
    caller: Caller, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    llama = rows.register()
    rows.decide(llama, 7)
    rows.clock.advance(3 * rows.step_s)  # whatever the board knows of it is over
    monkeypatch.setattr(api, "ANSWER_S", 0.2)
    with unit_of_work(rows.engine) as work:
        work.connection.execute(text("LOCK TABLE workloads IN ACCESS EXCLUSIVE MODE"))
        code, message = refused(caller)
        assert code is grpc.StatusCode.UNAVAILABLE
        assert "did not answer within 0.2 s" in message
    monkeypatch.undo()
    rows.decide(llama, 7)
    assert caller.count() == 7


def test_a_database_that_is_away_costs_nothing_until_the_advice_ends(
    caller: Caller, rows: Rows
) -> None:
    rows.decide(rows.register(), 7)
    assert next(caller.stream()).result, "the board knows it now"
    with unit_of_work(rows.engine) as work:
        work.connection.execute(text("ALTER TABLE workloads RENAME TO elsewhere"))
    rows.clock.advance(3 * rows.step_s - 1)
    assert caller.count() == 7
    assert caller.is_active()
    rows.clock.advance(1)
    assert refused(caller)[0] is grpc.StatusCode.UNAVAILABLE


def test_a_spec_of_another_version_is_told(caller: Caller, rows: Rows) -> None:
    rows.decide(rows.register(), 7)
    with unit_of_work(rows.engine) as work:
        work.connection.execute(text("UPDATE workloads SET spec = spec || '{\"later\": 1}'"))
    assert caller.count() == 7, "a field that it does not know is left out"
    with unit_of_work(rows.engine) as work:
        work.connection.execute(text("UPDATE workloads SET spec = spec || '{\"mode\": 1}'"))
    code, message = refused(caller)
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert "mode" in message
    assert "same version" in message


def test_zero_only_where_zero_is_allowed_and_decided(caller: Caller, rows: Rows) -> None:
    llama = rows.register(min_replicas=0)
    rows.decide(llama, 0)
    assert caller.count() == 0
    assert not caller.is_active()
    rows.register(min_replicas=1)
    assert caller.count() == 1, "the bounds changed since"
    assert caller.is_active()


def test_a_count_outside_new_bounds_is_kept_within(caller: Caller, rows: Rows) -> None:
    rows.decide(rows.register(max_replicas=12), 40)
    assert caller.count() == 12


def test_a_pause_outlives_the_decisions_and_follows_the_target(caller: Caller, rows: Rows) -> None:
    llama = rows.register(paused=True)
    rows.see(llama, 4)
    assert caller.count() == 4
    rows.clock.advance(rows.step_s)
    rows.see(llama, 6)
    assert caller.count() == 6
    rows.clock.advance(3 * rows.step_s)
    code, message = refused(caller)
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert "last at 2026-01-05T00:01:00Z" in message
    assert "operator runs" in message


def test_a_target_held_at_zero_stays_there(caller: Caller, rows: Rows) -> None:
    llama = rows.register(paused=True)
    rows.see(llama, 0)
    rows.decide(llama, 5)
    assert caller.count() == 0
    assert not caller.is_active(), "KEDA must not wake what is paused"


def test_approval(caller: Caller, rows: Rows) -> None:
    llama = rows.register(mode="Approval")
    first = rows.decide(llama, 9)
    assert refused(caller)[0] is grpc.StatusCode.FAILED_PRECONDITION, "the count is not known"
    rows.see(llama, 4)
    assert caller.count() == 4
    rows.act(first, llama, "awaiting_approval")
    assert caller.count() == 4
    rows.act(first, llama, "applied", attempt=2)
    assert caller.count() == 9
    rows.clock.advance(rows.step_s)
    rows.see(llama, 9)
    rows.decide(llama, 12)
    assert caller.count() == 9


def test_what_the_operator_held_is_not_advised(caller: Caller, rows: Rows) -> None:
    llama = rows.register()
    rows.see(llama, 4)
    rows.act(rows.decide(llama, 9), llama, "failed")
    assert caller.count() == 4


def test_an_increase_within_the_tolerance_is_rounded_up_on_demand(
    caller: Caller, rows: Rows
) -> None:
    llama = rows.register()
    rows.see(llama, 20)
    rows.decide(llama, 21)
    assert caller.count() == 21
    assert caller.count(autoscaler="llama", hpaTolerance="0.1") == 23
    rows.clock.advance(3 * rows.step_s)
    rows.decide(llama, 21)
    assert caller.count(autoscaler="llama", hpaTolerance="0.1") == 21, "the count is not known"


def test_one_query_answers(caller: Caller, rows: Rows, n_queries: list[str]) -> None:
    rows.decide(rows.register(), 7)
    assert caller.count() == 7
    n_queries.clear()
    assert caller.count() == 7
    assert caller.is_active()
    # Not the refresh of the whole fleet, its rows and the specs that changed: a thread of its own.
    refresh = ("WHERE w.is_active", "WHERE id = ANY(%(ids)s)")
    assert len([each for each in n_queries if not each.endswith(refresh)]) == 2


def test_a_message_over_the_limit_is_refused(caller: Caller) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        caller.count(autoscaler="llama", note="x" * MAX_MESSAGE_BYTES)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_newer_callers_extra_call_is_told_apart(caller: Caller) -> None:
    """A KEDA that also asks for changes of the metric's spec falls back to asking for it."""
    call = caller.channel.unary_stream("/externalscaler.ExternalScaler/StreamMetricSpec")
    with pytest.raises(grpc.RpcError) as caught:
        next(call(b""))
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
