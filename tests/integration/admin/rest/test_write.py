"""Routes that write take a version and a key."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.admin.openapi_document import operations

pytestmark = pytest.mark.integration


def test_updates_take_a_version_and_posts_a_key(document: dict[str, Any]) -> None:
    without = {"/v1/keys", "/v1/keys/{key_id}/rotate", "/v1/keys/{key_id}"}
    for path, method, operation in operations(document):
        headers = {p["name"] for p in operation.get("parameters", []) if p["in"] == "header"}
        if method in {"post", "patch", "put"} and path not in without:
            assert "Idempotency-Key" in headers, (path, method)
        if method in {"patch", "put"}:
            assert "If-Match" in headers, (path, method)
            assert "412" in operation["responses"], (path, method)
