"""Forecasts that are decided on, each once; series by name; outcomes until they are final."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from services.decision.beliefs.repository import load_all_starts
from services.decision.decide import service
from services.decision.rows import repository
from services.decision.rows.lead_times import observed_starts, on_free_gpus
from services.decision.wiring import DecisionDeps
from services.kernel.db import schema
from services.kernel.db.schema_clusters import SHARDS_PER_CLUSTER
from services.kernel.jobs import DECIDE_SHARD, RecordingSender
from tests.integration.decision.measured_rows import add_counts, outcomes
from tests.integration.decision.stored_rows import (
    NOW,
    ORIGIN,
    STEP,
    add_forecast,
    add_workload,
    decisions,
    one_workload,
)

pytestmark = pytest.mark.integration


def test_a_shadow_models_forecast_is_never_decided_on(deps: DecisionDeps) -> None:
    workload = one_workload(deps.engine)
    with deps.engine.begin() as connection:
        connection.execute(
            schema.models.insert().values(
                version="m2", kind="flow", status="shadow", config={}, metrics={}, created_at=NOW
            )
        )
    add_forecast(deps.engine, workload, 300.0, forecast_id=2, version="m2")
    service.decide_shard(deps, 0, ORIGIN)
    assert [row["forecast_id"] for row in decisions(deps.engine)] == [1]


def test_sweep_resends_exactly_what_is_undecided(deps: DecisionDeps) -> None:
    one_workload(deps.engine)
    assert service.sweep(deps) == 1
    sender = deps.sender
    assert isinstance(sender, RecordingSender)
    assert [(j.name, j.payload["shard"]) for j in sender.sent] == [(DECIDE_SHARD, 0)]
    service.decide_shard(deps, 0, datetime.fromisoformat(str(sender.sent[0].payload["at"])))
    assert service.sweep(deps) == 0


def test_observed_values_are_loaded_by_workload_and_name(deps: DecisionDeps) -> None:
    one = add_workload(deps.engine, "one")
    other = add_workload(deps.engine, "other")
    add_counts(deps.engine, one, ttft_total=[30.0, None, 90.0], waiting=[4.0])
    add_counts(deps.engine, other, ttft_total=[60.0])
    names = {one: ["sli_ttft_total"], other: ["sli_ttft_total", "sli_lost"]}
    with deps.engine.connect() as connection:
        found = repository.load_series(connection, names, ORIGIN - 2 * STEP, ORIGIN)
        assert repository.load_series(connection, {}, ORIGIN, ORIGIN) == {}
    first_s, last_s = (ORIGIN - 2 * STEP).timestamp(), ORIGIN.timestamp()
    assert {key: list(by_name) for key, by_name in found.items()} == {
        one: ["sli_ttft_total"],
        other: ["sli_ttft_total"],
    }
    steps_s, values = found[one]["sli_ttft_total"]
    assert (steps_s.tolist(), values) == ([first_s, last_s], pytest.approx([0.1, 0.3]))
    steps_s, values = found[other]["sli_ttft_total"]
    assert (steps_s.tolist(), values) == ([last_s], pytest.approx([0.2]))


def test_an_outcome_is_revised_in_what_was_measured_until_it_is_final(deps: DecisionDeps) -> None:
    def store(demand: float, requests: float, is_final: bool) -> None:
        believed = (None, demand, 1.0, 1, 0.0, 0.0, 1.0, 1.0)
        row = (1, ORIGIN, *believed, None, NOW, requests, 0.0, 0.0, 0.0, is_final)
        with deps.engine.begin() as connection:
            repository.store_outcomes(connection, [row])

    def stored() -> tuple[float, float, bool]:
        (row,) = outcomes(deps.engine)
        return row["demand"], row["sli_requests"], row["is_final"]

    store(1.0, 10.0, False)
    store(2.0, 20.0, False)
    assert stored() == (1.0, 20.0, False)
    store(3.0, 30.0, True)
    store(4.0, 40.0, False)
    assert stored() == (1.0, 30.0, True)
    with deps.engine.connect() as connection:
        (step,) = repository.load_outcome_steps(connection, [1], ORIGIN, ORIGIN)
        later = repository.load_outcome_steps(connection, [1], ORIGIN, ORIGIN + STEP)
    assert (step["is_final"], step["violation_ratio"]) == (True, 0.0)
    assert not later


def test_the_newest_starts_are_read_of_each_gpu_type(deps: DecisionDeps) -> None:
    """Of 60 starts on H100 after 60 on L4 both have their newest fifty."""
    workload = add_workload(deps.engine, "one")
    rows = [
        {
            "pod_uid": f"{gpu_type}-{minute}", "workload_id": workload, "gpu_type": gpu_type,
            "requested_at": NOW - timedelta(minutes=minute),
            "ready_at": NOW - timedelta(minutes=minute - 1), "observed_at": NOW,
        }
        for gpu_type, oldest in (("H100", 160), ("L4", 220))
        for minute in range(oldest, oldest - 60, -1)
    ]  # fmt: skip
    with deps.engine.begin() as connection:
        connection.execute(schema.pod_starts.insert(), rows)
        found = repository.load_pod_starts(connection, [workload], NOW - timedelta(minutes=5))
    uids = [row["pod_uid"] for row in found]
    oldest_first = [f"L4-{m}" for m in range(210, 160, -1)]
    assert uids == [*oldest_first, *(f"H100-{m}" for m in range(150, 100, -1))]


def test_of_starts_it_is_told_whether_nodes_are_added_for_them(database: Engine) -> None:
    """By the supply of their type in their own cluster, in decisions as in the daily fit."""
    one, other = add_workload(database, "one"), add_workload(database, "other")
    asked, bound = NOW - timedelta(hours=2), NOW - timedelta(minutes=5)
    pods = [
        ("waits", None, None, None),
        ("went", None, None, NOW - timedelta(hours=1)),
        ("at last", bound, bound + timedelta(seconds=30), None),
        ("on its way", bound, None, None),
    ]
    rows = [
        {
            "pod_uid": f"{workload} {gpu_type} {uid}", "workload_id": workload,
            "gpu_type": gpu_type, "requested_at": asked, "bound_at": bound_at,
            "ready_at": ready_at, "gone_at": gone_at, "observed_at": NOW,
            "is_new_node": None if bound_at is None else False,
        }
        for workload, gpu_type in ((one, "H100"), (one, "L4"), (other, "H100"))
        for uid, bound_at, ready_at, gone_at in pods
    ]  # fmt: skip
    with database.begin() as connection:
        connection.execute(text("INSERT INTO clusters VALUES (2, 'other', now(), NULL)"))
        given = {"id": other, "shard": SHARDS_PER_CLUSTER}
        moved = text("UPDATE workloads SET cluster_id = 2, shard = :shard WHERE id = :id")
        connection.execute(moved, given)
        connection.execute(schema.pod_starts.insert(), rows)
        for cluster, gpu_type, ceiling in ((1, "H100", 8), (1, "L4", None), (2, "L4", 8)):
            connection.execute(
                text(
                    "INSERT INTO gpu_supply (cluster_id, gpu_type, ceiling, reason, message, "
                    "node_gpus, asked_gpus, startup_median_s, startup_sigma, n_startups, "
                    "n_refused, refusal, observed_at) VALUES (:cluster, :gpu_type, :ceiling, '', "
                    "'', 0, 0, 300, 0.5, 0, 0, '', now())"
                ),
                {"cluster": cluster, "gpu_type": gpu_type, "ceiling": ceiling},
            )
        decided = repository.load_pod_starts(connection, [one, other], asked)
        fitted = load_all_starts(connection, asked)
    for found in (decided, fitted):
        seconds: dict[tuple[int, str], list[float]] = {}
        for kind in ((one, "H100"), (one, "L4"), (other, "H100")):
            own = [row for row in found if (row["workload_id"], row["gpu_type"]) == kind]
            seconds[kind] = sorted(observed_starts(on_free_gpus(own), NOW).seconds)
        every = [3600.0, 6930.0, 7200.0, 7200.0]
        assert seconds == {(one, "H100"): [30.0, 300.0], (one, "L4"): every, (other, "H100"): every}


def test_interruptions_are_those_of_the_cluster(database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(text("INSERT INTO clusters VALUES (2, 'other', now(), NULL)"))
        connection.execute(
            text(
                "INSERT INTO gpu_interruptions VALUES (1, 'H100', 2.5, 40, '{}', now()), "
                "(2, 'H100', 9, 10, '{}', now()), (1, 'L4', 0, 3, '{}', now())"
            )
        )
        rows = repository.load_interruptions(connection, 1)
    found = {row["gpu_type"]: (row["interruptions"], row["node_hours"]) for row in rows}
    assert found == {"H100": (2.5, 40.0), "L4": (0.0, 3.0)}
