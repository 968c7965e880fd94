"""The tables of indicators: a row for each workload and step, and what its places hold.

People read the view `indicators`, with a row for each value; it is not of this metadata.
"""

from __future__ import annotations

from sqlalchemy import (
    REAL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from services.kernel.db.metadata import metadata, time_column

indicator_layouts = Table(
    "indicator_layouts",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("names", ARRAY(Text), nullable=False),
    Index(None, "names", postgresql_using="hash"),
)

indicator_steps = Table(
    "indicator_steps",
    metadata,
    Column("workload_id", Integer, primary_key=True, autoincrement=False),
    Column("layout_id", Integer, nullable=False),
    time_column("step_at", primary_key=True),
    Column("values", ARRAY(REAL), nullable=False),
    Column("states", LargeBinary, nullable=False),
    CheckConstraint(
        'cardinality("values") = octet_length(states) AND array_position("values", NULL) IS NULL',
        name="whole",
    ),
    postgresql_partition_by="RANGE (step_at)",
)

indicator_changes = Table(
    "indicator_changes",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("shard", Integer, nullable=False),
    time_column("first_at"),
    time_column("last_at"),
    Column(
        "xact",
        BigInteger,
        nullable=False,
        server_default=text("pg_current_xact_id()::text::bigint"),
    ),
    Column(
        "updated_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=text("clock_timestamp()"),
    ),
    Index(None, "shard", "xact"),
)

# what releases before the steps wrote, until it is moved
indicator_values = Table(
    "indicator_values",
    metadata,
    Column("workload_id", Integer, primary_key=True, autoincrement=False),
    Column("indicator", Text, primary_key=True),
    time_column("step_at", primary_key=True),
    Column("value", REAL, nullable=True),
    Column("is_observed", Boolean, nullable=False),
    postgresql_partition_by="RANGE (step_at)",
)
