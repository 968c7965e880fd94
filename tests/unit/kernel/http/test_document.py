"""Parts of OpenAPI documents that are written by hand."""

from __future__ import annotations

from pydantic import BaseModel

from services.kernel.http.document import inlined_schema, problem_responses


class _Inner(BaseModel):
    n: int


class _Outer(BaseModel):
    parts: list[_Inner]
    first: _Inner | None = None


def test_a_schema_holds_what_it_would_refer_to() -> None:
    schema = inlined_schema(_Outer)
    assert "$ref" not in str(schema)
    assert "$defs" not in schema
    assert schema["properties"]["parts"]["items"]["properties"]["n"]["type"] == "integer"


def test_problems_are_described_with_their_type() -> None:
    found = problem_responses(404, 422)
    assert found[404]["description"] == "Not Found"
    assert "code" in found[422]["content"]["application/problem+json"]["schema"]["required"]
