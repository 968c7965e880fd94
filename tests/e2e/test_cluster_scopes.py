"""Real processes, two clusters with a `prod/llama` each: a key for `prod` of one writes that."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import grpc
import httpx
import orjson
import pytest
from sqlalchemy import Engine, text

from services.kernel.clock import SystemClock
from services.kernel.db.clusters import SHARDS_PER_CLUSTER, add_cluster
from services.kernel.security.keys import Role, create_key
from services.scaler.proto.externalscaler_pb2_grpc import ExternalScalerStub
from tests.integration.scaler.conftest import Caller
from tests.reported_port import reported_port
from tests.unit.ingest.remote_requests import V1, body_v1, indicator

pytestmark = [pytest.mark.slow, pytest.mark.e2e, pytest.mark.timeout(300)]
RATE = "request_rate_rps"
SPEC: dict[str, Any] = {
    "target": "Deployment/llama",
    "mode": "Advisory",
    "demand": RATE,
    "indicators": [{"name": RATE, "level": 1}],
    "capacity": {"per_replica": 10.0},
    "max_replicas": 20,
}
OTHERS = (
    "SELECT w.spec, w.is_active FROM workloads w WHERE cluster_id = 2",
    "SELECT o.* FROM observations o JOIN workloads w ON w.id = o.workload_id AND cluster_id = 2",
    "SELECT c.* FROM workload_controls c JOIN workloads w ON w.id = c.workload_id "
    "AND cluster_id = 2",
    "SELECT * FROM freezes WHERE cluster_id = 2",
    "SELECT * FROM operations WHERE cluster_id = 2",
)
SERVERS = {
    "admin": ("services.admin.main", "HARMONY_PORT", "default"),
    "ingest": ("services.ingest.main", "HARMONY_INGEST_PORT", "default"),
    "scaler": ("services.scaler.main", "HARMONY_SCALER_PORT", "other"),
}


@pytest.fixture
def ports(database: Engine, database_url: str, redis_url: str) -> Iterator[dict[str, int]]:
    """The processes, once both clusters have their workload."""
    now = SystemClock().now()
    with database.begin() as connection:
        add_cluster(connection, "other", now)
        for cluster_id, namespace in ((1, "prod"), (2, "prod")):
            connection.execute(
                text(
                    "INSERT INTO workloads (namespace, name, shard, step_s, spec, managed_by, "
                    "created_at, updated_at, cluster_id) VALUES (:namespace, 'llama', :shard, 60, "
                    "CAST(:spec AS jsonb), 'api', :now, :now, :cluster_id)"
                ),
                {
                    "namespace": namespace,
                    "shard": (cluster_id - 1) * SHARDS_PER_CLUSTER,
                    "spec": orjson.dumps(SPEC).decode(),
                    "now": now,
                    "cluster_id": cluster_id,
                },
            )
    kept = {k: v for k, v in os.environ.items() if not k.startswith("HARMONY_")}
    kept |= {"HARMONY_DATABASE_URL": database_url, "HARMONY_REDIS_URL": redis_url}
    kept["HARMONY_PUSH_TOKEN"] = "t" * 32
    processes = {
        name: subprocess.Popen(
            [sys.executable, "-m", module],
            env=kept | {port: "0", "HARMONY_CLUSTER": cluster},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for name, (module, port, cluster) in SERVERS.items()
    }
    try:
        yield {name: reported_port(process, name) for name, process in processes.items()}
    finally:
        for process in processes.values():
            process.kill()
            process.communicate(timeout=20)


def of_the_other(database: Engine) -> list[Any]:
    with database.connect() as connection:
        return [connection.execute(text(each)).all() for each in OTHERS]


def test_a_key_for_prod_in_one_cluster_writes_nothing_of_prod_in_another(
    ports: dict[str, int], database: Engine
) -> None:
    now = SystemClock().now()
    with database.begin() as connection:

        def key(role: Role, cluster_id: int | None, namespaces: list[str] | None) -> dict[str, str]:
            made = create_key(connection, "k", role, now, None, namespaces, cluster_id)
            return {"Authorization": f"Bearer {made.token}"}

        prod, fleet = key(Role.ADMIN, 1, ["prod"]), key(Role.OPERATOR, 1, None)
        every = key(Role.ADMIN, None, None)
    before = of_the_other(database)
    admin, ingest = (f"http://127.0.0.1:{ports[name]}" for name in ("admin", "ingest"))
    one = f"{admin}/v1/workloads/prod/llama"
    freeze = {"direction": "Both", "reason": "x", "until_at": "2100-01-01T00:00:00Z"}
    asked: list[tuple[str, str, Any, int]] = [
        ("PUT", f"{one}/pause", {"direction": "Both", "reason": "x"}, 200),
        ("PATCH", f"{one}/policy", {"min_replicas": 2}, 200),
        ("PUT", one, {"spec": SPEC | {"max_replicas": 9}}, 200),
        ("POST", f"{one}/replicas", {"ready": 3}, 200),
        ("POST", f"{admin}/v1/freezes", freeze | {"namespace": "prod"}, 201),
        ("POST", f"{admin}/v1/backtests", {"workloads": ["prod/llama"]}, 202),
        ("DELETE", one, None, 204),
    ]
    with httpx.Client(trust_env=False, timeout=60) as http:
        for method, url, body, _ in asked:
            there = http.request(method, f"{url}?cluster=other", json=body, headers=prod)
            assert there.status_code == 403, (method, url, there.text)
            unclear = http.request(method, url, json=body, headers=every)
            assert unclear.status_code == 409, (method, url, unclear.text)
            assert unclear.json()["code"] == "ambiguous_cluster"
        # news, and what is later than a push may be and not later than a Prometheus repeats
        for age, pushed_status in ((timedelta(seconds=5), 202), (timedelta(minutes=50), 422)):
            at_s = round((now - age).timestamp())
            pushed = orjson.dumps(
                {"observations": [{"namespace": "prod", "workload": "llama", "indicator": RATE,
                                   "samples": [[at_s, 1.0]]}]}
            )  # fmt: skip
            labels = {"namespace": "prod", "workload": "llama"}
            written = body_v1((indicator(RATE, **labels), [(at_s * 1000, 1.0)]))
            as_json = {"Content-Type": "application/json"}
            kinds = (
                ("/v1/observations", pushed, as_json, fleet, pushed_status),
                ("/api/v1/write", written, V1, prod, 204),
            )
            for path, content, headers, credential, status in kinds:
                given = dict(headers) | credential
                url = f"{ingest}{path}"
                there = http.post(f"{url}?cluster=other", content=content, headers=given)
                assert there.status_code == 403, there.text
                here = http.post(url, content=content, headers=given)
                assert here.status_code == status, here.text
                assert status != 422 or "late_s=600" in here.text, "by its age, not by the key"
        assert of_the_other(database) == before
        for method, url, body, status in asked:  # the same where the key may
            here = http.request(method, url, json=body, headers=prod)
            assert here.status_code in (status, 200, 201, 202, 204, 409, 422, 428), here.text
            assert here.status_code != 403
    assert of_the_other(database) == before
    with grpc.insecure_channel(f"127.0.0.1:{ports['scaler']}") as channel:
        caller = Caller(ExternalScalerStub(channel), channel)
        with pytest.raises(grpc.RpcError):  # the other's has no decision, whatever the first has
            caller.count()
