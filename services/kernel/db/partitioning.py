"""Which tables are split by time, and how wide their partitions are."""

from __future__ import annotations

from dataclasses import dataclass


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
