"""What of a cell may be unknown."""

from __future__ import annotations

from services.admin.cells.schemas import CellGpusView, CellView


def nullable(kind: type[CellView] | type[CellGpusView]) -> set[str]:
    return {
        name
        for name, schema in kind.model_json_schema(mode="serialization")["properties"].items()
        if {"type": "null"} in schema.get("anyOf", ())
    }


def test_what_was_never_seen_is_null_and_not_zero() -> None:
    assert nullable(CellView) == {"decided_at", "oldest_decided_at", "operator_seen_at"}
    assert nullable(CellGpusView) == {
        "used_gpus",
        "budget_gpus",
        "cell_gpus",
        "price_usd_per_gpu_hour",
    }
