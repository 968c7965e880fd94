"""A fleet whose GPUs may come on new nodes, as the operator sees and stores it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from tests.integration.decision.budget_fleet import Fleet


def supply(fleet: Fleet, ceiling: int | None = 200, **changes: Any) -> None:
    """Where H100 come from: nodes of 8 that take 10 minutes; `changes` are columns."""
    values = {
        "gpu_type": "H100", "ceiling": ceiling, "reason": "CeilingSet", "message": "",
        "node_gpus": 32, "asked_gpus": 28, "startup_median_s": 600.0, "startup_sigma": 0.3,
        "n_startups": 20, "n_refused": 0, "gpus_per_node": 8, "observed_at": fleet.clock.now(),
    } | changes  # fmt: skip
    names = ", ".join(values)
    with fleet.engine.begin() as connection:
        connection.execute(text("DELETE FROM gpu_supply"))
        connection.execute(
            text(f"INSERT INTO gpu_supply ({names}) VALUES ({', '.join(f':{n}' for n in values)})"),
            values,
        )
        connection.execute(text("UPDATE replica_states SET new_node_gpus = 100"))


def advice(fleet: Fleet) -> list[Any]:
    """What is advised, by GPU type."""
    with fleet.engine.connect() as connection:
        rows = connection.execute(text("SELECT * FROM gpu_headroom ORDER BY gpu_type"))
        return list(rows.mappings())


def needs(fleet: Fleet) -> list[Any]:
    """What services may need, by workload and part."""
    with fleet.engine.connect() as connection:
        rows = connection.execute(text("SELECT * FROM gpu_needs ORDER BY workload_id, part"))
        return list(rows.mappings())
