"""Tables that are split by time."""

from __future__ import annotations

from services.kernel.db.metadata import PARTITIONED, partition_by
from services.kernel.db.schema import metadata


def test_every_one_is_a_table_with_its_column_in_the_key() -> None:
    for name, how in PARTITIONED.items():
        table = metadata.tables[name]
        assert how.column in table.primary_key.columns
        assert table.dialect_options["postgresql"]["partition_by"] == partition_by(name)


def test_inputs_end_with_the_forecasts_that_they_lack() -> None:
    """Partitions alike and one retention: neither is kept without the other."""
    assert PARTITIONED["decision_inputs"] == PARTITIONED["forecasts"]
