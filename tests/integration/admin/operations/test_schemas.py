"""Backtests that cannot be asked for."""

from __future__ import annotations

from typing import Any

import pytest

from services.simulator.policies.rivals import rivals
from tests.integration.admin.app_client import AppClient

pytestmark = pytest.mark.integration


def test_what_cannot_be_backtested_is_pointed_at(admin: AppClient, tiny: str) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"workloads": []}, "/workloads"),
        ({"workloads": ["tiny"]}, "/workloads/0"),
        ({"workloads": [tiny, tiny]}, "/workloads"),
        ({"workloads": [tiny, "prod/none"]}, "/workloads/1"),
        ({"workloads": ["prod/a\x00"]}, "/workloads/0"),
        ({"workloads": [tiny], "epsilons": [1.0]}, "/epsilons/0"),
        ({"workloads": [tiny], "policies": ["magic"]}, "/policies/0"),
        ({"workloads": [tiny], "policies": []}, "/policies"),
        ({"workloads": [tiny], "replay_hours": 1e9}, "/replay_hours"),
        ({"workloads": [tiny], "replay_hours": 0.5}, "/replay_hours"),
    ]
    for body, pointer in cases:
        answer = admin.post("/v1/backtests", json=body)
        assert answer.status_code == 422, body
        assert answer.json()["errors"][0]["pointer"] == pointer
    assert admin.get("/v1/operations").json()["items"] == []


def test_the_api_knows_the_policies_of_the_laboratory(admin: AppClient) -> None:
    document = admin.get("/openapi.json").json()
    known = document["components"]["schemas"]["BacktestRequest"]["properties"]["policies"]
    assert set(known["items"]["enum"]) == set(rivals(60.0))
