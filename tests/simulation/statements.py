"""What the operator's statements do to tables in memory, by a piece of each statement's text."""

from __future__ import annotations

from typing import Any

from tests.simulation.memory_store import Found, Given, Handler, Tables
from tests.simulation.tables.budgets import (
    drop_budgets,
    load_budgets,
    store_budgets,
)
from tests.simulation.tables.decisions import (
    load_newest_decisions,
    load_open_decisions,
)
from tests.simulation.tables.details import (
    load_details,
    load_history_figures,
)
from tests.simulation.tables.intents import (
    delete_intents,
    load_announced,
    load_changes,
    load_intents,
    move_intent,
    store_intents,
)
from tests.simulation.tables.replicas import (
    load_last_seen,
    load_open_starts,
    store_starts,
)
from tests.simulation.tables.workloads import (
    change_specs,
    load_left_behind,
    load_registrations,
    load_specs,
    register,
    set_active,
    store_objects,
)


def nothing(tables: Tables, given: Any) -> Found:
    """Tables that a simulation leaves empty: controls of the API, freezes, verdicts."""
    return Found()


def draw_ids(tables: Tables, given: Given) -> Found:
    return Found([{"id": tables.next_id(given["sequence"])} for _ in range(given["n"])])


HANDLERS: dict[str, Handler] = {
    "FROM workload_controls c": nothing,
    "UPDATE clusters SET operator_seen_at": nothing,
    "FROM freezes": nothing,
    "FROM cell_totals t LEFT JOIN cell_budgets": nothing,
    "DELETE FROM gpu_supply": nothing,
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
