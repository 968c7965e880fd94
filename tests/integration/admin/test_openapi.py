"""The OpenAPI document: examples that fit, errors, units in names, pages of every list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.integration.admin.openapi_document import operations

pytestmark = pytest.mark.integration
DOCS = Path(__file__).parents[3] / "docs" / "api.md"
UNPAGED = {
    "/v1/keys",
    "/v1/workloads/{namespace}/{name}/indicators",
    "/v1/workloads/{namespace}/{name}/quality",
}
"""Answers that are a plain list: bounded by what they are about."""


def test_lists_are_pages(document: dict[str, Any]) -> None:
    n_pages = 0
    for path, method, operation in operations(document):
        content = operation["responses"].get("200", {}).get("content", {})
        schema = content.get("application/json", {}).get("schema", {})
        if method == "get" and schema.get("type") == "array":
            assert path in UNPAGED, path
        if "Page_" in schema.get("$ref", ""):
            n_pages += 1
            names = {p["name"] for p in operation["parameters"]}
            assert {"limit", "cursor"} <= names, path
    assert n_pages >= 17


def test_numbers_carry_their_units(document: dict[str, Any]) -> None:
    """What is a time, a price or a duration says so in its name."""
    wrong = ("_seconds", "_sec", "_dollars", "_price", "_duration", "_minutes", "_milliseconds")
    names = {
        name
        for schema in document["components"]["schemas"].values()
        for name in schema.get("properties", {})
    }
    assert not {name for name in names if name.endswith(wrong)}
    times = {
        name
        for schema in document["components"]["schemas"].values()
        for name, part in schema.get("properties", {}).items()
        if "date-time" in str(part)
    }
    assert not {name for name in times if not name.endswith(("_at", "_until")) and name != "at"}


def test_the_document_and_the_guide_name_the_same_routes(document: dict[str, Any]) -> None:
    text = DOCS.read_text()
    missing = [
        f"{method.upper()} {path}"
        for path, method, _ in operations(document)
        if f"`{method.upper()} {path}`" not in text
    ]
    assert missing == []
