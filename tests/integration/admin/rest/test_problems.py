"""Routes say how they fail."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.admin.openapi_document import operations

pytestmark = pytest.mark.integration


def test_every_route_says_what_it_does_and_how_it_fails(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        assert operation.get("description"), (path, method)
        assert operation["tags"], (path, method)
        always = {"401", "403", "422", "429", "503"}
        assert always <= set(operation["responses"]), (path, method)
        for status, response in operation["responses"].items():
            if status >= "400":
                assert list(response["content"]) == ["application/problem+json"], (path, status)
