"""A workload that is made over REST."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, text

from tests.integration.admin.app_client import AppClient

SPEC: dict[str, Any] = {
    "demand": "output_tokens_per_s",
    "indicators": [
        {"name": "output_tokens_per_s", "level": 1, "unit": "tokens/s"},
        {"name": "queue_requests", "level": 2, "query": "sum(vllm:num_requests_waiting)"},
    ],
    "capacity": {"per_replica": 900},
    "max_replicas": 12,
    "gpus_per_replica": 2,
    "sla": {"sla_class": "gold", "epsilon": 0.02},
    "schedules": [{"name": "day", "start_time": "08:00", "end_time": "18:00", "min_replicas": 4}],
    "labels": {"team": "chat"},
}
BODY = {"namespace": "lab", "name": "chat", "spec": SPEC}


def rows(engine: Engine) -> list[Any]:
    statement = text("SELECT * FROM workloads WHERE namespace = 'lab' ORDER BY id")
    with engine.connect() as connection:
        return list(connection.execute(statement).mappings())


def send(client: AppClient, method: str, path: str, body: Any = None, **headers: str) -> Any:
    return client.request(method, path, json=body, headers=headers)
