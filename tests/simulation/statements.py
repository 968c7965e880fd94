"""What the operator's statements do to tables in memory, by a piece of each statement's text."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from tests.simulation.memory_store import Found, Handler, Row, Tables

Given = Mapping[str, Any]
_OPEN = ("failed", "waiting")
_JUDGED = ("awaiting_approval", "rejected", "failed", "waiting")


def nothing(tables: Tables, given: Any) -> Found:
    """Tables that a simulation leaves empty: controls of the API, freezes, verdicts."""
    return Found()


def draw_ids(tables: Tables, given: Given) -> Found:
    return Found([{"id": tables.next_id(given["sequence"])} for _ in range(given["n"])])


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


def store_budgets(tables: Tables, given: list[Row]) -> Found:
    names = ("gpu_type", "gpus", "source", "reason")
    for one in given:
        row = {name: one[name] for name in names} | {"observed_at": one["now"]}
        before = tables.rows["gpu_budgets"].get((one["gpu_type"],))
        is_same = before is not None and all(before[name] == row[name] for name in names)
        if before is None or not is_same or before["observed_at"] <= one["confirm_before"]:
            tables.put("gpu_budgets", row)
    return Found()


def load_left_behind(tables: Tables, given: Given) -> Found:
    names = ("id", "namespace", "name", "spec")
    rows = sorted(tables.rows["workloads"].values(), key=lambda row: row["id"])
    left = (row for row in rows if not row["is_active"] and row["updated_at"] >= given["since"])
    return Found([{name: row[name] for name in names} for row in left])


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
        "last_at": None if last is None else last["applied_at"],
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


def load_details(_tables: Tables, given: Given) -> Found:
    """Of a fleet without forecasts: nothing."""
    names = (
        "last_sample_at", "model_version", "rung", "origin_at", "horizon_s", "reach_s", "wanted_s",
        "quantile_levels", "next_step", "risk_state",
    )  # fmt: skip
    bare: Row = dict.fromkeys(names)
    return Found([bare | {"workload_id": id_, "errors": []} for id_ in given["ids"]])


def load_history_figures(tables: Tables, given: Given) -> Found:
    """Of a fleet without forecasts: how long pods took to start."""
    leads: dict[int, list[tuple[datetime, float]]] = defaultdict(list)
    for row in tables.rows["pod_starts"].values():
        if row["ready_at"] is not None:
            lead_s = (row["ready_at"] - row["requested_at"]).total_seconds()
            leads[row["workload_id"]].append((row["requested_at"], lead_s))
    found = []
    for id_ in given["ids"]:
        recent = sorted(lead_s for _, lead_s in sorted(leads[id_], reverse=True)[:200])
        levels = {"p50_s": 0.5, "p90_s": 0.9}
        figures = {name: _quantile(recent, level) for name, level in levels.items()}
        own: Row = {"workload_id": id_, "coverage": None, "n_starts": len(recent)}
        found.append(own | figures)
    return Found(found)


def _quantile(values: Sequence[float], level: float) -> float | None:
    """As `percentile_cont` has it."""
    if not values:
        return None
    place = level * (len(values) - 1)
    low = math.floor(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (place - low) * (values[high] - values[low])


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


HANDLERS: dict[str, Handler] = {
    "FROM workload_controls c": nothing,
    "UPDATE clusters SET operator_seen_at": nothing,
    "FROM freezes": nothing,
    "FROM cell_totals t LEFT JOIN cell_budgets": nothing,
    "DELETE FROM gpu_supply": nothing,
    "INSERT INTO gpu_share_marks": nothing,
    "SELECT decision_id, verdict, actor": nothing,
    "SELECT nextval(:sequence)": draw_ids,
    "SELECT id, namespace, name, spec_version": load_registrations,
    "SELECT id, spec FROM workloads": load_specs,
    "FROM workloads WHERE NOT is_active": load_left_behind,
    "INSERT INTO workloads": register,
    "UPDATE workloads SET spec": change_specs,
    "UPDATE workloads SET is_active": set_active,
    "UPDATE workloads SET object_uid": store_objects,
    "UPDATE workload_controls c SET body": nothing,
    "INSERT INTO gpu_budgets": store_budgets,
    "DELETE FROM gpu_budgets": drop_budgets,
    "SELECT gpu_type, CASE": load_budgets,
    "variants -> t.part AS own FROM replica_states": load_last_seen,
    "SELECT pod_uid": load_open_starts,
    "INSERT INTO pod_starts": store_starts,
    "AND NOT EXISTS (SELECT FROM intents i": load_open_decisions,
    "SELECT * FROM decisions d WHERE d.workload_id = w.id": load_newest_decisions,
    "SELECT w.id AS workload_id, c.last_sample_at": load_details,
    "SELECT w.id AS workload_id, s.coverage": load_history_figures,
    "max(latency_ms) / 1000 AS request_s": nothing,
    "max(grace_s), max(killed_at)": nothing,
    "INSERT INTO intents": store_intents,
    "SELECT * FROM intents": load_intents,
    "UPDATE intents SET": move_intent,
    "SELECT decision_id, attempt FROM intents": load_announced,
    "SELECT pg_advisory_xact_lock": nothing,
    "DELETE FROM intents": delete_intents,
    "UNION ALL SELECT workload_id, decision_id, origin_at": load_changes,
}
