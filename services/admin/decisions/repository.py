"""SQL of decisions, actions and outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, text

from services.admin.rest.lists_repository import Conditions
from services.kernel.db.retention import IS_REPLAYABLE

_DECISION = (
    "d.id, d.origin_at, d.workload_id, d.forecast_id, d.policy_version, d.decided_at, "
    "d.valid_until, d.current_replicas, d.raw_replicas, d.desired_replicas, d.direction, d.reason, "
    "d.binding_constraint, d.rung, d.risk_target, d.risk_estimated, d.cost_delta_usd_per_h, "
    "d.variants"
)
_IS_CHANGE = (
    "(d.desired_replicas <> d.current_replicas OR EXISTS (SELECT 1 FROM "
    "jsonb_array_elements(d.variants) v WHERE v -> 'desired' <> v -> 'current'))"
)
"""As `DecisionSummary.is_change`: variants or pools may change where their sum stays."""
_CLUSTER = "(SELECT c.name FROM clusters c WHERE c.id = w.cluster_id) AS cluster"
_DECISIONS = f"""
SELECT {_DECISION}, w.namespace, w.name, {_CLUSTER},
       a.result AS action_result, a.reason AS action_reason,
       a.applied_at
FROM ({{rows}}) d
JOIN workloads w ON w.id = d.workload_id
LEFT JOIN LATERAL (
    SELECT result, reason, applied_at FROM actions
    WHERE workload_id = d.workload_id AND decision_id = d.id AND origin_at = d.origin_at
    ORDER BY attempt DESC LIMIT 1
) a ON true
ORDER BY d.origin_at DESC, d.id DESC
"""  # noqa: S608  # fixed fragments with bound values


@dataclass(frozen=True, slots=True)
class _List:
    """A list in order of time over the workloads: its table, columns, order, and what it joins."""

    table: str
    alias: str
    columns: str
    order: str
    outer: str

    def statement(self, where: str, workload: str | None) -> str:
        """The query; `workload` narrows the workloads, None: all of them.

        Of all workloads the newest rows lie side by side in the index by time. Of some, the newest
        of each come from its own index and the few that are left are merged: others' rows, of
        which there may be many in between, are not read.
        """
        t = self.alias
        newest = (
            f"SELECT {self.columns} FROM {self.table} {t} WHERE {{condition}} "  # noqa: S608
            f"ORDER BY {self.order} LIMIT :limit"
        )
        if workload is None:
            return self.outer.format(rows=newest.format(condition=where))
        own = newest.format(condition=f"{t}.workload_id = w.id AND {where}")
        rows = (
            f"SELECT {t}.* FROM workloads w CROSS JOIN LATERAL ({own}) {t} "  # noqa: S608
            f"WHERE {workload} ORDER BY {self.order} LIMIT :limit"
        )
        return self.outer.format(rows=rows)


def _plain(alias: str, order: str) -> str:
    return (
        f"SELECT {alias}.*, w.namespace, w.name, {_CLUSTER} FROM ({{rows}}) {alias} "  # noqa: S608
        f"JOIN workloads w ON w.id = {alias}.workload_id ORDER BY {order}"
    )


_BY_ORIGIN, _BY_STEP = "{0}.origin_at DESC, {0}.id DESC", "{0}.step_at DESC, {0}.workload_id DESC"
_LIST_DECISIONS = _List("decisions", "d", _DECISION, _BY_ORIGIN.format("d"), _DECISIONS)
_LIST_ACTIONS = _List(
    "actions", "a", "a.*", _BY_ORIGIN.format("a"), _plain("a", _BY_ORIGIN.format("a"))
)
_LIST_OUTCOMES = _List(
    "outcomes", "o", "o.*", _BY_STEP.format("o"), _plain("o", _BY_STEP.format("o"))
)


def load_decisions(
    connection: Connection, filters: Mapping[str, Any], limit: int
) -> list[RowMapping]:
    """Decisions, newest first.

    Args:
        connection: An open transaction.
        filters: Any of `workload_id`, `from_at`, `to_at` (of the origin, inclusive),
            `direction`, `reason`, `changes` (drop holds), `after` (origin_at, id).
        limit: At most this many.
    """
    where, values = _window("d.origin_at", "d.id", filters)
    for column in ("direction", "reason"):
        if filters.get(column) is not None:
            where.append(f"d.{column} = :{column}")
            values[column] = filters[column]
    if filters.get("changes"):
        where.append(_IS_CHANGE)
    return _newest(connection, _LIST_DECISIONS, where, values | {"limit": limit})


def load_decision(connection: Connection, decision_id: int) -> RowMapping | None:
    """One decision with its explanation and the forecast that it was made from."""
    statement = text(
        f"SELECT d.*, {IS_REPLAYABLE}, w.namespace, w.name, {_CLUSTER}, w.step_s, w.spec, "  # noqa: S608
        "w.updated_at AS workload_updated_at, f.model_version, "
        "f.rung AS forecast_rung, f.reason AS forecast_reason, "
        "(SELECT p.summary FROM posteriors p WHERE p.kind = 'misses' "
        " AND p.scope = 'workload:' || w.id AND p.status <> 'rejected' "
        " AND p.fitted_at <= d.decided_at ORDER BY p.fitted_at DESC, p.id DESC LIMIT 1) AS learned "
        "FROM decisions d JOIN workloads w ON w.id = d.workload_id "
        "LEFT JOIN forecasts f ON f.id = d.forecast_id AND f.origin_at = d.origin_at "
        "WHERE d.id = :id"
    )
    return connection.execute(statement, {"id": decision_id}).mappings().first()


def load_actions(
    connection: Connection, filters: Mapping[str, Any], limit: int
) -> list[RowMapping]:
    """Actions, newest first; filters as for decisions, plus `decision_id` and `result`."""
    where, values = _window("a.origin_at", "a.id", filters)
    for column in ("decision_id", "result"):
        if filters.get(column) is not None:
            where.append(f"a.{column} = :{column}")
            values[column] = filters[column]
    return _newest(connection, _LIST_ACTIONS, where, values | {"limit": limit})


def load_outcomes(
    connection: Connection, filters: Mapping[str, Any], limit: int
) -> list[RowMapping]:
    """Outcomes, newest first; filters `workload_id`, `from_at`, `to_at`, `decision_id`, `after`."""
    where, values = _window("o.step_at", "o.workload_id", filters)
    if filters.get("decision_id") is not None:
        where.append("o.decision_id = :decision_id")
        values["decision_id"] = filters["decision_id"]
    return _newest(connection, _LIST_OUTCOMES, where, values | {"limit": limit})


def load_killed_pods(connection: Connection, decision_id: int) -> Sequence[RowMapping]:
    """Pods that a decision's scaling in took and that were killed at the end of their grace."""
    statement = text(
        "SELECT pod, told_at, killed_at, grace_s, requests FROM killed_pods "
        "WHERE decision_id = :id ORDER BY killed_at, pod LIMIT 50"
    )
    return connection.execute(statement, {"id": decision_id}).mappings().all()


def _window(
    time_column: str, id_column: str, filters: Mapping[str, Any]
) -> tuple[list[str], dict[str, Any]]:
    """Conditions of the time window, of the cursor, and their values."""
    where, values = ["true"], {"workload_id": filters.get("workload_id")}
    if filters.get("from_at") is not None:
        where.append(f"{time_column} >= :from_at")
        values["from_at"] = filters["from_at"]
    if filters.get("to_at") is not None:
        where.append(f"{time_column} <= :to_at")
        values["to_at"] = filters["to_at"]
    of = Conditions()
    of.of_workloads(filters)
    values |= of.values | {"of_workloads": of.sql}
    if filters.get("after"):
        where.append(f"({time_column}, {id_column}) < (:after_at, :after_id)")
        values["after_at"], values["after_id"] = filters["after"]
    return where, values


def _newest(
    connection: Connection, found: _List, where: Sequence[str], values: Mapping[str, Any]
) -> list[RowMapping]:
    """Run one of the list queries; the conditions are fixed fragments with bound values."""
    one = values["workload_id"] is not None
    workload = ("w.id = :workload_id AND " if one else "") + values["of_workloads"]
    statement = found.statement(" AND ".join(where), None if workload == "true" else workload)
    unbound = {"of_workloads"} | (set() if one else {"workload_id"})
    bound = {name: value for name, value in values.items() if name not in unbound}
    return list(connection.execute(text(statement), bound).mappings().all())
