"""What the operator's statements do to GPU budgets."""

from __future__ import annotations

from tests.simulation.memory_store import Found, Given, Row, Tables


def store_budgets(tables: Tables, given: list[Row]) -> Found:
    names = ("gpu_type", "gpus", "source", "reason")
    for one in given:
        row = {name: one[name] for name in names} | {"observed_at": one["now"]}
        before = tables.rows["gpu_budgets"].get((one["gpu_type"],))
        is_same = before is not None and all(before[name] == row[name] for name in names)
        if before is None or not is_same or before["observed_at"] <= one["confirm_before"]:
            tables.put("gpu_budgets", row)
    return Found()


def drop_budgets(tables: Tables, given: Given) -> Found:
    for key, row in list(tables.rows["gpu_budgets"].items()):
        is_old = row["gpus"] is None or row["observed_at"] < given["oldest"]
        if key[0] not in given["kept"] and is_old:
            tables.delete("gpu_budgets", key)
    return Found()


def load_budgets(tables: Tables, given: Given) -> Found:
    return Found(
        [
            {
                "gpu_type": row["gpu_type"],
                "gpus": row["gpus"] if row["observed_at"] >= given["oldest"] else None,
            }
            for row in tables.rows["gpu_budgets"].values()
        ]
    )
