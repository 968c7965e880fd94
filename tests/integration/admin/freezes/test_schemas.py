"""Change freezes that cannot be."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.integration.admin.app_client import AppClient
from tests.integration.admin.seeded_fleet import NOW

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]


def test_a_freeze_that_makes_no_sense_is_refused(admin: AppClient) -> None:
    until = (NOW + timedelta(days=1)).isoformat()
    wrong = [
        {"until_at": (NOW - timedelta(days=1)).isoformat()},
        {"until_at": until, "from_at": until},
        {"until_at": until, "workload": "llama-70b-chat"},
        {"until_at": "2026-11-30T00:00:00"},
        {"until_at": until, "namespace": "prod\x00"},
        {"until_at": until, "reason": "a\x00b"},
        {"until_at": until, "reason": "a\x9b2Jb"},
        {"until_at": until, "reason": "a\u202eb"},
        {},
    ]
    for body in wrong:
        assert admin.post("/v1/freezes", json=body).status_code == 422, body
    unknown = {"until_at": until, "namespace": "llm-prod", "workload": "nothing"}
    assert admin.post("/v1/freezes", json=unknown).status_code == 404
