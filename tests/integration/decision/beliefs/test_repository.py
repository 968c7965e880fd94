"""Rows of the posteriors: what is learned from, when it was fitted, and what is in force."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Connection, Engine, insert, text

from services.decision.beliefs import repository
from services.decision.rows.translate import from_draws
from services.kernel.db import schema
from services.kernel.db.session import CopyTarget, copy_rows
from tests.integration.decision.learned_capacity import add_steps, add_workload
from tests.integration.decision.stored_rows import (
    NOW,
    ORIGIN,
    STEP,
    add_workload as add_unlearning,
)
from tests.integration.stored_indicators import store_indicators

pytestmark = pytest.mark.integration
HOUR = timedelta(hours=1)
LATENCY = "latency_p95_ms"


def fit(
    connection: Connection,
    scope: str = "global",
    *,
    kind: str = "lead_time",
    at: datetime = NOW,
    status: str = "promoted",
    draws: list[float] | None = None,
    **summary: Any,
) -> None:
    packed = None if draws is None else from_draws(np.array(draws))
    row = {
        "kind": kind, "scope": scope, "status": status, "reason": "", "n_observations": 1,
        "summary": summary, "diagnostics": {}, "draws": packed, "fitted_at": at,
    }  # fmt: skip
    repository.store_posterior(connection, row)


def test_a_fit_of_lead_times_counts_whatever_its_verdict(database: Engine) -> None:
    with database.begin() as connection:
        assert not repository.has_lead_time_fit(connection, NOW - HOUR)
        fit(connection, kind="response")
        assert not repository.has_lead_time_fit(connection, NOW - HOUR)
        fit(connection, status="rejected")
        assert repository.has_lead_time_fit(connection, NOW - HOUR)
        assert not repository.has_lead_time_fit(connection, NOW)


def test_fitted_types_are_those_that_fits_were_made_for(database: Engine) -> None:
    with database.begin() as connection:
        for gpu_type, at in (("H100", NOW), ("L4", NOW - 2 * HOUR)):
            fit(connection, kind="response", at=at, learned_for={"gpu_type": gpu_type})
        fit(connection, kind="response")
        fit(connection, kind="capacity", learned_for={"gpu_type": "A100"})
        assert repository.load_fitted_types(connection, NOW - HOUR) == {"H100"}
        assert repository.load_fitted_types(connection, NOW - 3 * HOUR) == {"H100", "L4"}


def test_active_workloads_with_a_latency_are_learned_from(database: Engine) -> None:
    b, a = add_workload(database, "b"), add_workload(database, "a")
    add_workload(database, "gone")
    add_workload(database, "unnamed", latency_indicator="")
    add_unlearning(database, "stated")
    with database.begin() as connection:
        connection.execute(text("UPDATE workloads SET is_active = name <> 'gone'"))
        connection.execute(
            text("UPDATE workloads SET spec = spec || '{\"gpu_type\": \"L4\"}' WHERE name = 'a'")
        )
        rows = repository.load_learning_workloads(connection)
        types = repository.load_learning_types(connection)
    assert [(row["id"], row["name"]) for row in rows] == [(b, "b"), (a, "a")]
    assert rows[0]["spec"]["capacity"]["latency_indicator"] == LATENCY
    assert len(types) == 2
    assert "L4" in types


def test_only_steps_with_a_load_of_whole_replicas_and_a_latency_teach(database: Engine) -> None:
    workload, other = add_workload(database, "w"), add_workload(database, "other")
    steps: list[tuple[float | None, float | None, float | None, bool]] = [
        (8.0, 2.0, 100.0, True),
        (9.0, 3.0, 90.0, True),
        (8.0, 2.5, 100.0, True),  # a replica came or went
        (0.0, 2.0, 100.0, True),  # nothing was asked
        (None, 2.0, 100.0, True),
        (8.0, 0.0, 100.0, True),
        (8.0, 2.0, 0.0, True),
        (8.0, 2.0, float("inf"), True),
        (8.0, 2.0, None, False),
    ]
    outcomes, latencies = [], []
    for back, (demand, ready, latency, is_observed) in enumerate(steps):
        for one in (workload, other):
            outcomes.append((one, ORIGIN - back * STEP, demand, ready, NOW))
            latencies.append((one, LATENCY, ORIGIN - back * STEP, latency, is_observed))
    columns = ("workload_id", "step_at", "demand", "ready_mean", "computed_at")
    with database.begin() as connection:
        copy_rows(connection, CopyTarget(schema.outcomes, columns, "error"), outcomes)
        store_indicators(connection, latencies)

        def learned(first: datetime, last: datetime) -> list[dict[str, Any]]:
            found = repository.load_latency_steps(connection, [workload], [LATENCY], first, last)
            return [dict(row) for row in found]

        (row,) = learned(ORIGIN - HOUR, ORIGIN + STEP)
        (newest,) = learned(ORIGIN - STEP, ORIGIN + STEP)
        (second,) = learned(ORIGIN - HOUR, ORIGIN)
    assert row == {
        "workload_id": workload,
        "steps_s": [(ORIGIN - STEP).timestamp(), ORIGIN.timestamp()],
        "load": [3.0, 4.0],
        "latency_ms": [90.0, 100.0],
    }
    assert (newest["load"], second["load"]) == ([4.0], [3.0])


def test_starts_are_those_since_a_time_by_workload_and_time(database: Engine) -> None:
    one, other = add_unlearning(database, "a"), add_unlearning(database, "b")
    starts = [
        {"pod_uid": uid, "workload_id": workload, "gpu_type": "H100", "requested_at": at,
         "observed_at": NOW}
        for uid, workload, at in (
            ("p4", other, NOW), ("p3", one, NOW), ("p2", one, NOW - HOUR),
            ("p1", one, NOW - 2 * HOUR),
        )
    ]  # fmt: skip
    with database.begin() as connection:
        connection.execute(insert(schema.pod_starts), starts)
        rows = repository.load_all_starts(connection, NOW - HOUR)
    assert [(row["workload_id"], row["requested_at"]) for row in rows] == [
        (one, NOW - HOUR),
        (one, NOW),
        (other, NOW),
    ]
    assert {row["ready_at"] for row in rows} == {None}


def test_the_newest_promoted_posterior_of_a_scope_is_in_force(database: Engine) -> None:
    with database.begin() as connection:
        fit(connection, "a", at=NOW - HOUR, draws=[1.0, 2.0], n=1)
        fit(connection, "a", at=NOW, draws=[3.0, 4.0], n=2)
        fit(connection, "a", at=NOW + HOUR, draws=[5.0], status="rejected", n=3)
        fit(connection, "b", n=4)
        fit(connection, "c", draws=[6.0], n=5)
        fit(connection, "a", kind="capacity", at=NOW + HOUR, draws=[7.0], n=6)
        rows = repository.load_posteriors(connection, "lead_time", ["a", "b"])
        draws = repository.load_draws(connection, "lead_time", ["a", "b", "none"])
    assert [(row["scope"], row["summary"]["n"]) for row in rows] == [("a", 2), ("b", 4)]
    assert rows[0]["fitted_at"] == NOW
    assert list(draws) == ["a"]
    assert draws["a"].tolist() == [3.0, 4.0]


def test_only_one_holds_the_lock_of_fits(database: Engine) -> None:
    with repository.fit_lock(database) as first, repository.fit_lock(database) as second:
        assert (first, second) == (True, False)


def test_only_final_measured_steps_under_load_say_what_requests_felt(database: Engine) -> None:
    workload, other = (add_workload(database, name) for name in ("w", "other"))
    good: dict[str, object] = {
        "demand": 40.0,
        "ready_mean": 4.0,
        "sli_requests": 100.0,
        "sli_miss_high": 0.1,
    }
    changes: list[dict[str, object]] = [
        {}, {"is_final": False}, {"sli_requests": 0.0}, {"sli_requests": None},
        {"ready_mean": 0.0}, {"ready_mean": None}, {"demand": 0.0}, {"demand": None},
        {"sli_miss_high": None}, {"ready_mean": 5.0}, {},
    ]  # fmt: skip
    columns = ("workload_id", "step_at", "computed_at", "is_final", *good)
    rows = [
        (workload, NOW - timedelta(minutes=len(changes) - at), NOW, *known.values())
        for at, change in enumerate(changes)
        for known in ({"is_final": True} | good | change,)
    ]
    with database.begin() as connection:
        copy_rows(connection, CopyTarget(schema.outcomes, columns, "error"), rows)
    first = {workload: NOW - timedelta(days=1), other: NOW - timedelta(days=1)}
    with database.connect() as connection:
        (row,) = repository.load_miss_steps(connection, first, NOW, 100)
        (newest,) = repository.load_miss_steps(connection, first, NOW, 1)
        first[workload] = NOW - timedelta(minutes=1)
        none = repository.load_miss_steps(connection, first, NOW, 100)
    assert row["workload_id"] == workload
    assert row["load"] == [10.0, 8.0, 10.0]
    assert row["missed"] == pytest.approx([10.0] * 3)
    assert row["total"] == [100.0] * 3
    assert row["steps_s"] == [(NOW - timedelta(minutes=m)).timestamp() for m in (11, 2, 1)]
    assert newest["steps_s"] == row["steps_s"][-1:]
    assert none == [], "a step that was learned from is not read again"


def test_a_response_learned_at_a_decision_replaces_the_one_before(database: Engine) -> None:
    def row(method: str, at: datetime, status: str = "promoted") -> dict[str, object]:
        return {
            "kind": "misses", "scope": "workload:1", "status": status, "reason": "why",
            "n_observations": 9, "summary": {"method": method}, "diagnostics": {},
            "draws": b"", "fitted_at": at,
        }  # fmt: skip

    hour = timedelta(hours=1)
    with database.begin() as connection:
        assert not repository.has_miss_fit(connection, NOW - 9 * hour)
        for at in (NOW - 3 * hour, NOW - 2 * hour):
            repository.replace_particles(connection, row("particles", at))
        assert not repository.has_miss_fit(connection, NOW - 9 * hour)
        (used,) = repository.load_posteriors(connection, "misses", ["workload:1"])
        assert used["fitted_at"] == NOW - 2 * hour
        assert repository.load_refusals(connection, "misses", ["workload:1"]) == {}
        repository.store_posterior(connection, row("pymc", NOW - hour, "rejected"))
        assert repository.has_miss_fit(connection, NOW - 2 * hour)
        refused = repository.load_refusals(connection, "misses", ["workload:1"])
        assert refused == {"workload:1": "why"}
        n = connection.execute(text("SELECT count(*) FROM posteriors")).scalar_one()
    assert n == 2


def test_latencies_on_other_gpus_are_left_out(database: Engine) -> None:
    workload = add_workload(database, "w")
    add_steps(database, workload, 10.0, np.full(20, 6.0))
    newest = ORIGIN - STEP

    def read() -> list[float]:
        with database.connect() as connection:
            first, last = newest - 50 * STEP, ORIGIN
            (row,) = repository.load_latency_steps(connection, [workload], [LATENCY], first, last)
            return list(row["steps_s"])

    assert len(read()) == 20
    with database.begin() as connection:
        connection.execute(
            text(
                "UPDATE workloads SET updated_at = :at, "
                "spec = jsonb_set(spec, '{gpus_per_replica}', '4')"
            ),
            {"at": newest - 5 * STEP},
        )
    assert read() == [(newest - back * STEP).timestamp() for back in range(4, -1, -1)]
