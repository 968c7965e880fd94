"""What the operator's statements do to what was seen of replicas and of starts of pods."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from tests.simulation.memory_store import Found, Given, Row, Tables


def load_last_seen(tables: Tables, given: Given) -> Found:
    found = []
    for id_, part in zip(given["ids"], given["parts"], strict=True):
        seen = [
            (row["observed_at"], counts)
            for row in tables.states_of.get(id_, ())
            if (counts := _counts(row, part)) is not None
        ]
        if seen:
            since = max(seen)[0] - timedelta(minutes=2)
            most = max(max(spec, sum(there)) for at, (spec, *there) in seen if at >= since)
            most = max([most, *_made_since(tables, id_, part, since)])
            found.append({"workload_id": id_, "part": part, "replicas": most})
    return Found(found)


def _made_since(tables: Tables, workload_id: int, part: str, since: datetime) -> Iterator[int]:
    """Counts that a target was patched to."""
    for row in tables.rows["actions"].values():
        is_made = row["result"] in ("applied", "unknown") and row["applied_at"] >= since
        if is_made and row["workload_id"] == workload_id:
            parts = json.loads(row["parts"]) if isinstance(row["parts"], str) else row["parts"]
            if not part:
                yield row["to_replicas"]
            yield from (each["to"] for each in parts or () if each["name"] == part)


def _counts(row: Row, part: str) -> tuple[int, ...] | None:
    """What was seen of a target: spec, ready, starting and pending; None: nothing."""
    names = ("spec", "ready", "starting", "pending")
    variants = json.loads(row["variants"]) if row["variants"] else None
    if not part:
        return None if variants else tuple(row[f"{name}_replicas"] for name in names)
    own = (variants or {}).get(part)
    return None if own is None else tuple(own[name] for name in names)


def load_open_starts(tables: Tables, given: Any) -> Found:
    return Found([row for row in tables.rows["pod_starts"].values() if row["gone_at"] is None])


_TIMES_OF_STARTS = ("ready_at", "gone_at", "bound_at", "is_new_node", "cause")


def store_starts(tables: Tables, given: Given) -> Found:
    for values in zip(*given.values(), strict=True):
        row = dict(zip(given, values, strict=True))
        before = tables.rows["pod_starts"].get((row["pod_uid"],))
        if before is not None:
            kept = {name: before[name] or row[name] for name in _TIMES_OF_STARTS}
            kept |= {name: row[name] for name in ("observed_at", "refused_at")}
            row = before | kept
        tables.put("pod_starts", row)
    return Found()
