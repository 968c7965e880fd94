"""The external scaler's real server on loopback, the embedded Postgres behind it, a real client."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import grpc
import pytest
from sqlalchemy import Engine, event, text

from services.kernel.clock import FixedClock
from services.kernel.db import schema
from services.kernel.db.session import CopyTarget, copy_rows, next_ids, unit_of_work
from services.kernel.domain import CapacitySpec, IndicatorSpec, WorkloadSpec
from services.kernel.settings import Settings
from services.scaler.api import METRIC
from services.scaler.main import serve
from services.scaler.proto import externalscaler_pb2 as pb
from services.scaler.proto.externalscaler_pb2_grpc import ExternalScalerStub
from services.scaler.service import ScalerDeps

NAMESPACE = "serving"
PATIENCE_S = 60.0


def spec(**changes: Any) -> WorkloadSpec:
    return WorkloadSpec(
        target="Deployment/llama",
        demand="request_rate_rps",
        indicators=(IndicatorSpec(name="request_rate_rps", level=1),),
        capacity=CapacitySpec(per_replica=10),
        **{"min_replicas": 1, "max_replicas": 300} | changes,
    )


@dataclass
class Rows:
    """What the other services would have stored."""

    engine: Engine
    clock: FixedClock
    step_s: int
    n_forecasts: int = field(default=0)

    def register(self, name: str = "llama", **changes: Any) -> int:
        """A workload; its id."""
        statement = text(
            "INSERT INTO workloads (namespace, name, shard, step_s, spec, created_at, updated_at) "
            "VALUES (:namespace, :name, 0, :step_s, CAST(:spec AS jsonb), :now, :now) "
            "ON CONFLICT (namespace, name) DO UPDATE SET spec = EXCLUDED.spec, "
            "spec_version = workloads.spec_version + 1 RETURNING id"
        )
        given = {"namespace": NAMESPACE, "name": name, "step_s": self.step_s}
        given |= {"spec": spec(**changes).model_dump_json(), "now": self.clock.now()}
        with unit_of_work(self.engine) as work:
            return int(work.connection.execute(statement, given).scalar_one())

    def deactivate(self, name: str = "llama") -> None:
        statement = text("UPDATE workloads SET is_active = false WHERE name = :name")
        with unit_of_work(self.engine) as work:
            work.connection.execute(statement, {"name": name})

    def decide(self, workload_id: int, desired: int, **changes: Any) -> int:
        """A decision; its id."""
        return self.decide_all({workload_id: desired}, **changes)[0]

    def decide_all(self, desired: dict[int, int], **changes: Any) -> list[int]:
        now = self.clock.now()
        with unit_of_work(self.engine) as work:
            ids = next_ids(work.connection, "decisions_id_seq", len(desired))
            rows = []
            for decision_id, (workload_id, count) in zip(ids, desired.items(), strict=True):
                self.n_forecasts += 1
                row = {
                    "id": decision_id,
                    "origin_at": now - timedelta(seconds=self.step_s),
                    "workload_id": workload_id,
                    "forecast_id": self.n_forecasts,
                    "policy_version": "harmony-1",
                    "decided_at": now,
                    "valid_until": now + timedelta(seconds=3 * self.step_s),
                    "current_replicas": 2,
                    "raw_replicas": count,
                    "desired_replicas": count,
                    "direction": "up",
                    "reason": "scale_up_risk",
                    "binding_constraint": "",
                    "rung": "forecast",
                    "risk_target": 0.01,
                    "cost_delta_usd_per_h": 2.5,
                    "explanation": json.dumps({}),
                } | changes
                rows.append(row)
            target = CopyTarget(schema.decisions, tuple(rows[0]))
            copy_rows(work.connection, target, [tuple(row.values()) for row in rows])
        return ids

    def see(self, workload_id: int, replicas: int) -> None:
        """The operator saw the target at this count."""
        self.see_all([workload_id], replicas)

    def see_all(self, ids: Sequence[int], replicas: int) -> None:
        columns = ("workload_id", "observed_at", "spec_replicas", "ready_replicas")
        columns += ("starting_replicas", "pending_replicas", "start_ages_s")
        now = self.clock.now()
        rows = [(workload_id, now, replicas, replicas, 0, 0, []) for workload_id in ids]
        target = CopyTarget(schema.replica_states, columns)
        with unit_of_work(self.engine) as work:
            copy_rows(work.connection, target, rows)

    def act(self, decision_id: int, workload_id: int, result: str, attempt: int = 1) -> None:
        """The operator did this about a decision."""
        now = self.clock.now()
        columns = ("id", "origin_at", "decision_id", "workload_id", "attempt", "result", "reason")
        columns += ("applied_at",)
        with unit_of_work(self.engine) as work:
            (action_id,) = next_ids(work.connection, "actions_id_seq", 1)
            origin_at = work.connection.execute(
                text("SELECT origin_at FROM decisions WHERE id = :id"), {"id": decision_id}
            ).scalar_one()
            row = (action_id, origin_at, decision_id, workload_id, attempt, result, "as told", now)
            copy_rows(work.connection, CopyTarget(schema.actions, columns), [row])

    def notify(self, channel: str = "harmony_decisions") -> None:
        with unit_of_work(self.engine) as work:
            work.connection.execute(text("SELECT pg_notify(:c, '')"), {"c": channel})


@pytest.fixture
def rows(database: Engine, settings: Settings, clock: FixedClock) -> Rows:
    return Rows(database, clock, settings.step_s)


class Server:
    """A server in a thread of its own."""

    def __init__(self, deps: ScalerDeps) -> None:
        self.port = 0
        self.settings = deps.settings
        self._deps = deps
        self._ready = threading.Event()
        self._end: Callable[[], object] = lambda: None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()))

    async def _main(self) -> None:
        stopped, loop = asyncio.Event(), asyncio.get_running_loop()
        self._end = lambda: loop.call_soon_threadsafe(stopped.set)
        await serve(self._deps, stopped, self._on_ready)

    def _on_ready(self, port: int) -> None:
        self.port = port
        self._ready.set()

    def __enter__(self) -> Server:
        self._thread.start()
        assert self._ready.wait(PATIENCE_S), "the server did not start"
        return self

    def stop(self) -> None:
        if self._thread.is_alive():
            self._end()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "the server did not end"

    def __exit__(self, *_: object) -> None:
        self.stop()


@dataclass
class Caller:
    """KEDA's side of the protocol."""

    stub: Any
    channel: grpc.Channel
    metadata: dict[str, str] = field(default_factory=lambda: {"autoscaler": "llama"})
    namespace: str = NAMESPACE

    def reference(self, **metadata: str) -> pb.ScaledObjectRef:
        given = metadata or self.metadata
        return pb.ScaledObjectRef(name="so", namespace=self.namespace, scalerMetadata=given)

    def count(self, **metadata: str) -> float:
        """The metric as KEDA reads it."""
        request = pb.GetMetricsRequest(
            scaledObjectRef=self.reference(**metadata), metricName=METRIC
        )
        (value,) = self.stub.GetMetrics(request, timeout=PATIENCE_S).metricValues
        assert value.metricName == METRIC
        assert value.metricValue == value.metricValueFloat
        return value.metricValueFloat if value.metricValueFloat > 0 else float(value.metricValue)

    def is_active(self, **metadata: str) -> bool:
        return bool(self.stub.IsActive(self.reference(**metadata), timeout=PATIENCE_S).result)

    def stream(self, **metadata: str) -> Any:
        return self.stub.StreamIsActive(self.reference(**metadata), timeout=PATIENCE_S)


@pytest.fixture
def server(database: Engine, settings: Settings, clock: FixedClock) -> Iterator[Server]:
    ours = settings.model_copy(update={"scaler_port": 0, "scaler_refresh_s": 600.0})
    with Server(ScalerDeps(database, clock, ours)) as server:
        yield server


@pytest.fixture
def caller(server: Server) -> Iterator[Caller]:
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield Caller(ExternalScalerStub(channel), channel)


@pytest.fixture
def n_queries(database: Engine) -> Iterator[list[str]]:
    """Statements that the engine ran; a server refreshes the whole fleet at any moment."""
    seen: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    event.listen(database, "before_cursor_execute", note)
    yield seen
    event.remove(database, "before_cursor_execute", note)
