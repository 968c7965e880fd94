"""The metadata that all tables belong to; how keys, indexes and times are made; partitions."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Column, DateTime, MetaData

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def time_column(name: str, *, primary_key: bool = False, nullable: bool = False) -> Column[object]:
    """A column of aware times."""
    return Column(name, DateTime(timezone=True), primary_key=primary_key, nullable=nullable)


@dataclass(frozen=True, slots=True)
class Partitioning:
    """Column that a table is split by, and the width of a partition in days."""

    column: str
    days: int


PARTITIONED: dict[str, Partitioning] = {
    "observations": Partitioning("observed_at", 1),
    "series_observations": Partitioning("observed_at", 1),
    "indicator_steps": Partitioning("step_at", 7),
    "indicator_values": Partitioning("step_at", 7),
    "replica_states": Partitioning("observed_at", 7),
    "forecasts": Partitioning("origin_at", 7),
    "forecast_scores": Partitioning("origin_at", 7),
    "decisions": Partitioning("origin_at", 7),
    "decision_inputs": Partitioning("origin_at", 7),
    "actions": Partitioning("origin_at", 7),
    "outcomes": Partitioning("step_at", 7),
}
"""By table; `decision_inputs` has those of `forecasts`: the one goes with the other."""


def partition_by(table: str) -> str:
    """The clause that splits a table."""
    return f"RANGE ({PARTITIONED[table].column})"
