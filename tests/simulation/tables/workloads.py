"""What the operator's statements do to workloads."""

from __future__ import annotations

from typing import Any

from tests.simulation.memory_store import Found, Given, Row, Tables


def load_registrations(tables: Tables, given: Any) -> Found:
    names = ("id", "namespace", "name", "spec_version", "step_s", "is_active")
    known = (
        {name: row[name] for name in names}
        | {"is_ours": True, "object_uid": row["object_uid"], "has_object_spec": False}
        for row in tables.rows["workloads"].values()
    )
    return Found(list(known))


def load_specs(tables: Tables, given: Given) -> Found:
    rows = tables.rows["workloads"]
    known = [rows[id_,] for id_ in given["ids"] if (id_,) in rows]
    return Found([{"id": row["id"], "spec": row["spec"]} for row in known])


def register(tables: Tables, given: list[Row]) -> Found:
    for row in given:
        id_ = tables.next_id("workloads_id_seq")
        fields = {"id": id_, "spec_version": 1, "is_active": True}
        names = ("namespace", "name", "spec", "step_s", "object_uid")
        tables.put("workloads", fields | {name: row[name] for name in names})
    return Found()


def change_specs(tables: Tables, given: list[Row]) -> Found:
    for one in given:
        row = tables.rows["workloads"][one["id"],]
        version = row["spec_version"] + 1
        changed = {"spec": one["spec"], "step_s": one["step_s"]}
        changed |= {"spec_version": version, "is_active": True}
        tables.put("workloads", row | changed)
    return Found()


def store_objects(tables: Tables, given: Given) -> Found:
    for id_, uid in zip(given["ids"], given["uids"], strict=True):
        tables.put("workloads", tables.rows["workloads"][id_,] | {"object_uid": uid})
    return Found()


def set_active(tables: Tables, given: Given) -> Found:
    for id_ in given["ids"]:
        changed = {"is_active": given["is_active"], "updated_at": given["now"]}
        tables.put("workloads", tables.rows["workloads"][id_,] | changed)
    return Found()


def load_left_behind(tables: Tables, given: Given) -> Found:
    names = ("id", "namespace", "name", "spec")
    rows = sorted(tables.rows["workloads"].values(), key=lambda row: row["id"])
    left = (row for row in rows if not row["is_active"] and row["updated_at"] >= given["since"])
    return Found([{name: row[name] for name in names} for row in left])
