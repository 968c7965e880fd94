"""Autoscalers with changes, offered to an API server that checks them."""

from __future__ import annotations

import copy
from typing import Any

import httpx

from services.operator.resource.translate import to_autoscaler
from tests.integration.operator.conftest import autoscaler_spec

GROUP = "/apis/scaling.harmony.dev/v1alpha1"
AUTOSCALERS = f"{GROUP}/namespaces/default/gpuautoscalers"
LATENCY = {"name": "latency_ms", "level": 1}
DEMAND = {"name": "request_rate_rps", "level": 1}
AHEAD = {"name": "campaign", "level": 1, "knownAhead": True}


def with_changes(spec: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A copy with values at dotted paths; None takes a field away."""
    found = copy.deepcopy(spec)
    for path, value in changes.items():
        *parents, last = path.split(".")
        node: Any = found
        for part in parents:
            node = node[int(part)] if part.isdigit() else node.setdefault(part, {})
        if value is None:
            node.pop(last)
        else:
            node[int(last) if last.isdigit() else last] = value
    return found


def post(api: httpx.Client, changes: dict[str, Any]) -> httpx.Response:
    spec = with_changes(autoscaler_spec("llama"), changes)
    body = {"metadata": {"generateName": "a-"}, "spec": spec}
    return api.post(AUTOSCALERS, json=body, params={"dryRun": "All"})


def assert_refused(refused: httpx.Response, field: str, words: str) -> None:
    """Refused, a cause naming the field, in these words."""
    assert refused.status_code == 422, refused.text
    status = refused.json()
    causes = status["details"]["causes"]
    assert any(cause["field"].startswith(field) for cause in causes), causes
    assert words in status["message"]


def assert_understood(made: httpx.Response) -> None:
    """Accepted, and read without a problem but a class that is not there."""
    assert made.status_code == 201, made.text
    found = to_autoscaler(made.json(), {})
    assert found.problem == "" or "gold" in found.problem
