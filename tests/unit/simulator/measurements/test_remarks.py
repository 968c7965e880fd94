"""What is said of a table stays with it."""

from __future__ import annotations

import pyarrow as pa

from services.simulator.measurements.remarks import remarks_of, with_remarks


def test_sentences_are_kept_in_order_beside_other_metadata() -> None:
    table = pa.table({"a": [1]}).replace_schema_metadata({"pandas": "{}"})
    assert remarks_of(table) == ()
    assert with_remarks(table) is table
    said = with_remarks(with_remarks(table, "one"), "two ‰", "three")
    assert remarks_of(said) == ("one", "two ‰", "three")
    assert said.schema.metadata[b"pandas"] == b"{}"
