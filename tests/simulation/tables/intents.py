"""What the operator's statements do to intents, and what they find of changes of replicas."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from tests.simulation.memory_store import Found, Given, Row, Tables


def store_intents(tables: Tables, given: Given) -> Found:
    stored = []
    for one in given["rows"]:
        times = {name: datetime.fromisoformat(one[name]) for name in ("origin_at", "created_at")}
        row = one | times
        actions = tables.actions_of.get(row["decision_id"], ())
        if any(action["attempt"] >= row["attempt"] for action in actions):
            continue
        if not tables.has("intents", row):
            tables.put("intents", row)
            stored.append({name: row[name] for name in ("decision_id", "attempt")})
    return Found(stored)


def load_intents(tables: Tables, given: Any) -> Found:
    rows = tables.rows["intents"].values()
    names = ("created_at", "decision_id", "attempt")
    return Found(sorted(rows, key=lambda row: tuple(row[name] for name in names)))


def move_intent(tables: Tables, given: Given) -> Found:
    key = (given["decision_id"], given["attempt"])
    before = tables.rows["intents"].get(key)
    if before is None:
        return Found()
    tables.put("intents", before | given)
    return Found(rowcount=1)


def load_announced(tables: Tables, given: Given) -> Found:
    rows = tables.rows["intents"].values()
    names = ("decision_id", "attempt")
    found = [{name: row[name] for name in names} for row in rows]
    return Found([row for row in found if row["decision_id"] in given["ids"]])


def delete_intents(tables: Tables, given: Given) -> Found:
    for key in zip(given["ids"], given["attempts"], strict=True):
        tables.delete("intents", key)
    return Found()


def load_changes(tables: Tables, given: Given) -> Found:
    ids, since = set(given["ids"]), given["since"]
    found = []
    for id_ in sorted(ids):
        for row in reversed(tables.scalings_of.get(id_, [])):
            if row["applied_at"] <= since - timedelta(hours=1):
                break
            if row["applied_at"] > since and None not in (row["from_replicas"], row["to_replicas"]):
                found.append(_change(tables, row, row["applied_at"]))
    for row in tables.rows["intents"].values():
        if row["workload_id"] in ids:
            found.append(_change(tables, row | {"parts": row["targets"]}, given["now"]))
    return Found(sorted(found, key=lambda row: (row["workload_id"], row["applied_at"])))


def _change(tables: Tables, row: Row, applied_at: datetime) -> Row:
    decision = tables.rows["decisions"][row["decision_id"],]
    variants = json.loads(decision["variants"]) if decision["variants"] else None
    is_sure = row.get("result") == "applied"  # an intent has none yet
    parts = json.loads(row["parts"]) if isinstance(row["parts"], str) else row["parts"]
    known = {"applied_at": applied_at, "variants": variants, "is_sure": is_sure, "parts": parts}
    return row | known
