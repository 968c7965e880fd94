"""What is to be said of a table to whoever gave it, kept with the table."""

from __future__ import annotations

import pyarrow as pa

_KEY = b"harmony.remarks"


def with_remarks(table: pa.Table, *sentences: str) -> pa.Table:
    """The table with further sentences about how it was read."""
    kept = [*remarks_of(table), *sentences]
    if not kept:
        return table
    others = dict(table.schema.metadata or {})
    return table.replace_schema_metadata({**others, _KEY: "\n".join(kept).encode()})


def remarks_of(table: pa.Table) -> tuple[str, ...]:
    """The sentences that are kept with a table."""
    kept = (table.schema.metadata or {}).get(_KEY, b"").decode()
    return tuple(kept.split("\n")) if kept else ()
