"""Requests about keys that make no sense."""

from __future__ import annotations

import pytest

from tests.integration.admin.app_client import AppClient

pytestmark = pytest.mark.integration
BAD_KEYS = [
    ({"name": "", "role": "viewer"}, "name"),
    ({"name": "a\nb", "role": "viewer"}, "name"),
    ({"name": "ci \x9b2Jtest", "role": "viewer"}, "name"),
    ({"name": "ci \u202etset", "role": "viewer"}, "name"),
    ({"name": "x", "role": "root"}, "role"),
    ({"name": "x", "role": "viewer", "expires_at": "2027-01-01T00:00:00"}, "expires_at"),
    ({"name": "x", "role": "viewer", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
    ({"name": "x", "role": "viewer", "scope": "all"}, "scope"),
    ({"name": "x", "role": "viewer", "namespaces": []}, "namespaces"),
    ({"name": "x", "role": "viewer", "namespaces": ["*"]}, "namespaces"),
    ({"name": "x", "role": "viewer", "namespaces": ["Prod"]}, "namespaces"),
]


def test_a_key_that_makes_no_sense_is_refused(admin: AppClient) -> None:
    for body, field in BAD_KEYS:
        answer = admin.post("/v1/keys", json=body)
        assert answer.status_code == 422, body
        assert field in answer.json()["detail"]
    assert len(admin.get("/v1/keys").json()["items"]) == 4
