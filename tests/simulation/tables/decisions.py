"""What the operator's statements find of decisions, with what became of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta

from tests.simulation.memory_store import Found, Given, Row, Tables

_OPEN = ("failed", "waiting")
_JUDGED = ("awaiting_approval", "rejected", "failed", "waiting")


def _loaded(tables: Tables, row: Row) -> Row:
    """A decision as the operator reads it, with its newest action."""
    actions = tables.actions_of.get(row["id"], [])
    last = max(actions, key=lambda action: action["attempt"], default=None)
    explanation = json.loads(row["explanation"])
    variants = row["variants"]
    return row | {
        "guard_trace": explanation.get("guard_trace"),
        "is_budget_exhausted": None,
        "trace": None,
        "variants": json.loads(variants) if variants else None,
        "n_attempts": len(actions),
        "last_result": "" if last is None else last["result"],
        "is_put_to_zero": row["current_replicas"] == 0 and _is_put_to_zero(tables, row),
        "parts_put_to_zero": _parts_put_to_zero(tables, row),
    }


def _applied(tables: Tables, row: Row) -> list[Row]:
    """Actions that were applied, or may have been, to the workload of a decision, oldest first."""
    applied = (
        action
        for action in tables.rows["actions"].values()
        if action["workload_id"] == row["workload_id"]
        and action["result"] in ("applied", "unknown")
    )
    return sorted(applied, key=lambda action: action["applied_at"])


def _parts_put_to_zero(tables: Tables, row: Row) -> list[str]:
    """Parts at zero that are to have replicas, and whose newest count applied is zero."""
    variants = json.loads(row["variants"] or "[]")
    wanted = [v["name"] for v in variants if v["current"] == 0 and v["desired"] > 0]
    last = {
        part["name"]: part["is_sure"] and part["to"] == 0
        for action in (_applied(tables, row) if wanted else ())
        for part in json.loads(action["parts"] or "[]")
    }
    return [name for name in wanted if last.get(name)]


def _is_put_to_zero(tables: Tables, row: Row) -> bool:
    """The newest count that was applied to the workload of a decision is zero."""
    last = next(reversed(_applied(tables, row)), None)
    # what came of one that is unknown may be another hand's
    return last is not None and last["result"] == "applied" and last["to_replicas"] == 0


def _is_open(tables: Tables, row: Row, given: Given) -> bool:
    actions = tables.actions_of.get(row["id"])
    if not actions:
        return True
    last = max(actions, key=lambda action: action["attempt"])["result"]
    if last in _OPEN and row["valid_until"] > given["now"]:
        return True
    return last in _JUDGED and row["id"] in given["judged_ids"]


def load_open_decisions(tables: Tables, given: Given) -> Found:
    announced = {row["decision_id"] for row in tables.rows["intents"].values()}
    is_new = _since_last_actions(tables) if "after_id" not in given else None
    found = [
        _loaded(tables, row)
        for row in tables.rows["decisions"].values()
        if (
            row["id"] in given["judged_ids"]
            or (row["id"] > given["after_id"] if is_new is None else is_new(row))
        )
        and row["policy_version"] == given["policy_version"]
        and row["id"] not in announced
        and _is_open(tables, row, given)
    ]
    found.sort(key=lambda row: (row["workload_id"], row["origin_at"], row["id"]))
    return Found(found)


def _since_last_actions(tables: Tables) -> Callable[[Row], bool]:
    """Tells decisions of about when their workload's last action was, and since."""
    last: dict[int, datetime] = {}
    for action in tables.rows["actions"].values():
        id_ = action["workload_id"]
        last[id_] = max(last.get(id_, action["origin_at"]), action["origin_at"])
    steps_s = {row["id"]: row["step_s"] for row in tables.rows["workloads"].values()}

    def is_new(row: Row) -> bool:
        id_ = row["workload_id"]
        if id_ not in steps_s:
            return False
        margin = timedelta(seconds=4 * steps_s[id_])
        return id_ not in last or row["origin_at"] >= last[id_] - margin

    return is_new


def load_newest_decisions(tables: Tables, given: Given) -> Found:
    every = [tables.decisions_of.get(id_) for id_ in given["ids"]]
    newest = [max(rows, key=lambda row: (row["origin_at"], row["id"])) for rows in every if rows]
    return Found([_loaded(tables, row) for row in newest])
