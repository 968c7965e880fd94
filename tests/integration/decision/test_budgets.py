"""GPU budgets over several shards on a real Postgres: never exceeded, never unlimited."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, text

from decider.fleet import PRICES
from services.decision import budgets, repository, service
from services.decision.inputs import to_member
from services.decision.service import Deps
from services.kernel.clock import FixedClock
from services.kernel.db import schema
from services.kernel.db.session import CopyTarget, copy_rows
from services.kernel.jobs import RecordingSender
from services.kernel.settings import Settings
from services.kernel.telemetry import REGISTRY

pytestmark = pytest.mark.integration

STEP_S = 300
STEP = timedelta(seconds=STEP_S)
ORIGIN = datetime(2026, 1, 6, 12, 0, tzinfo=UTC)
NOW = ORIGIN + STEP
LEVELS = [0.1, 0.5, 0.9, 0.99]


class Fleet:
    """Workloads in shards, moved on step by step as the operator and the cluster would."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self.engine = engine
        settings = settings.model_copy(update={"step_s": STEP_S})
        self.clock = FixedClock(NOW)
        self.deps = Deps(engine, self.clock, settings, sender=RecordingSender())
        self.origin = ORIGIN
        self.levels: dict[int, float] = {}
        self.n_forecasts = 0

    def add(self, name: str, shard: int, replicas: int, level: float, **changes: Any) -> int:
        """A workload of one H100 per replica, of which each serves 10."""
        spec: dict[str, Any] = {
            "target": "Deployment/w",
            "mode": "Auto",
            "demand": "request_rate_rps",
            "indicators": [{"name": "request_rate_rps", "level": 1}],
            "capacity": {"per_replica": 10.0},
            "lead_time": {"median_s": 60.0, "sigma": 0.3},
            "min_replicas": 1,
            "max_replicas": 60,
        }
        with self.engine.begin() as connection:
            workload: int = connection.execute(
                text(
                    "INSERT INTO workloads (namespace, name, shard, step_s, spec, created_at, "
                    "updated_at) VALUES ('demo', :name, :shard, :step_s, CAST(:spec AS jsonb), "
                    ":at, :at) RETURNING id"
                ),
                {"name": name, "shard": shard, "step_s": STEP_S, "at": ORIGIN,
                 "spec": json.dumps(spec | changes)},
            ).scalar_one()  # fmt: skip
        self.levels[workload] = level
        self.observe(workload, replicas)
        self.forecast(workload)
        return workload

    def observe(self, workload: int, replicas: int) -> None:
        columns = (
            "workload_id", "observed_at", "spec_replicas", "ready_replicas", "starting_replicas",
            "pending_replicas", "start_ages_s", "schedulable_gpus",
        )  # fmt: skip
        row = (workload, self.clock.now(), replicas, replicas, 0, 0, [], 1000)
        self._copy("replica_states", columns, row)

    def forecast(self, workload: int) -> None:
        self.n_forecasts += 1
        level = self.levels[workload]
        rng = np.random.default_rng(self.n_forecasts)
        paths = level * np.exp(0.05 * rng.standard_normal((100, 6)))
        scale = float(np.float32(paths.max()))
        quantiles = np.quantile(paths, LEVELS, axis=0).tolist()
        columns = (
            "id", "origin_at", "workload_id", "model_version", "rung", "reason", "step_s",
            "n_horizon", "quantile_levels", "quantiles", "n_paths", "paths", "path_scale",
            "created_at",
        )  # fmt: skip
        blob = (paths / scale).astype(np.float16).tobytes()
        row = (self.n_forecasts, self.origin, workload, "best-simple", "model", "", STEP_S, 6,
               LEVELS, quantiles, 100, blob, scale, self.clock.now())  # fmt: skip
        self._copy("forecasts", columns, row)
        demand = (workload, "request_rate_rps", self.origin, 0.95 * level, True)
        names = ("workload_id", "indicator", "step_at", "value", "is_observed")
        self._copy("indicators", names, demand)

    def _copy(self, table: str, columns: tuple[str, ...], row: tuple[Any, ...]) -> None:
        with self.engine.begin() as connection:
            copy_rows(connection, CopyTarget(schema.metadata.tables[table], columns), [row])

    def budget(self, gpus: int | None, gpu_type: str = "H100", age_s: float = 0.0) -> None:
        with self.engine.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO gpu_budgets (gpu_type, gpus, source, observed_at) VALUES "
                    "(:gpu_type, :gpus, 'GPUBudget/b', :at) ON CONFLICT (gpu_type) "
                    "DO UPDATE SET gpus = :gpus, observed_at = :at"
                ),
                {
                    "gpu_type": gpu_type,
                    "gpus": gpus,
                    "at": self.clock.now() - timedelta(seconds=age_s),
                },
            )

    def decide(self, *shards: int) -> dict[int, Any]:
        for shard in shards:
            service.decide_shard(self.deps, shard, self.origin)
        return self.decisions()

    def decisions(self) -> dict[int, Any]:
        """The newest decision of each workload."""
        with self.engine.connect() as connection:
            rows = connection.execute(text("SELECT * FROM decisions ORDER BY origin_at, id"))
            return {row["workload_id"]: row for row in rows.mappings()}

    def step(self) -> None:
        """What was decided is applied and seen, and the next origin has its forecasts."""
        self.origin += STEP
        self.clock.advance(STEP_S)
        for workload, row in self.decisions().items():
            self.observe(workload, row["desired_replicas"])
        for workload in self.levels:
            self.forecast(workload)


@pytest.fixture
def fleet(database: Engine, settings: Settings) -> Fleet:
    return Fleet(database, settings)


def gold(name: str = "gold", priority: int | None = None) -> dict[str, Any]:
    return {"sla": {"epsilon": 0.01, "sla_class": name, "priority": priority}}


def test_a_type_without_a_budget_row_has_no_budget(fleet: Fleet) -> None:
    w = fleet.add("w", 0, 10, 150.0)
    fleet.budget(1, "L4")
    row = fleet.decide(0)[w]
    assert row["desired_replicas"] >= 15
    assert "gpu_budget" not in row["explanation"]


def test_a_shard_gets_what_the_others_do_not_hold(fleet: Fleet) -> None:
    a = fleet.add("a", 0, 10, 150.0)
    fleet.add("b", 1, 12, 115.0)
    fleet.budget(25)
    row = fleet.decide(0)[a]
    assert row["desired_replicas"] == 13
    assert (row["reason"], row["binding_constraint"]) == ("scale_up_risk", "gpu_budget")
    stored = row["explanation"]["gpu_budget"]
    assert (stored["gpus"], stored["held_elsewhere_gpus"]) == (25, 12)
    wanted = row["explanation"]["guard_trace"][-1]["before"]
    assert stored["gave_up"] == [
        {"workload": "demo/a", "class": "silver", "priority": 100, "wanted": wanted,
         "granted": 13, "gpus": wanted - 13}
    ]  # fmt: skip
    assert row["explanation"]["fleet"]["shadow_price_usd_per_gpu_hour"] > 0
    assert (stored["is_feasible"], stored["price_usd_per_gpu_hour"] in PRICES) == (True, True)
    assert stored["price_usd_per_gpu_hour"] > 0
    labels = {"gpu_type": "H100"}
    shown = REGISTRY.get_sample_value("harmony_gpu_budget_price_usd", labels)
    assert shown == stored["price_usd_per_gpu_hour"]
    assert REGISTRY.get_sample_value("harmony_gpu_budget_gpus", labels) == 25
    assert "25 GPUs, 13 of them for these, are shared at" in str(row["explanation"])


def test_a_grant_counts_before_it_is_applied(fleet: Fleet) -> None:
    a = fleet.add("a", 0, 10, 120.0)
    b = fleet.add("b", 1, 10, 150.0)
    fleet.budget(25)
    first = fleet.decide(0)[a]["desired_replicas"]
    assert first > 10
    assert fleet.decide(1)[b]["desired_replicas"] == 25 - first


def test_gold_in_one_shard_gets_what_bronze_in_another_gives_up(fleet: Fleet) -> None:
    """Gold needs about 16 and has 6; bronze has 18 of the 24. It takes a step to come down."""
    g = fleet.add("g", 0, 6, 150.0, **gold())
    b = fleet.add("b", 1, 18, 150.0, **gold("bronze"))
    fleet.budget(24)
    held = []
    for _ in range(4):
        found = fleet.decide(0, 1)
        held.append((found[g]["desired_replicas"], found[b]["desired_replicas"]))
        assert sum(held[-1]) <= 24
        fleet.step()
    assert held[0][0] == 6  # nothing was free yet, and nobody had said what it would take
    assert held[-1][0] >= 15
    assert held[-1][1] >= 1
    cut = next(d for d in _all(fleet.engine, b) if d["reason"] == "scale_down_gpu_budget")
    assert cut["explanation"]["gpu_budget"]["gave_up"][0]["class"] == "bronze"


@pytest.mark.parametrize(("first", "second"), [(800, 50), (50, 800), (None, None)])
def test_the_priority_decides_who_gives_up_whatever_the_name(
    fleet: Fleet, first: int | None, second: int | None
) -> None:
    """Two equal workloads that want about 16 each, with GPUs for 20, named against their worth."""
    a = fleet.add("a", 0, 2, 150.0, **gold("bronze", first))
    b = fleet.add("b", 0, 2, 150.0, **gold("gold", second))
    fleet.budget(20)
    found = fleet.decide(0)
    granted = {w: found[w]["desired_replicas"] for w in (a, b)}
    assert sum(granted.values()) == 20
    favoured = a if (first or 0) > (second or 0) else b
    assert granted[favoured] == max(granted.values()) >= 15
    (cut, *_) = found[a]["explanation"]["gpu_budget"]["gave_up"]
    assert cut["workload"] == ("demo/b" if favoured == a else "demo/a")
    assert cut["priority"] == 50


def _all(engine: Engine, workload: int) -> list[Any]:
    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT * FROM decisions WHERE workload_id = :id ORDER BY id"), {"id": workload}
        )
        return list(rows.mappings())


def test_a_shrunken_budget_brings_every_shard_down_to_its_part(fleet: Fleet) -> None:
    workloads = [fleet.add(f"w{n}", n, 15, 140.0) for n in range(3)]
    fleet.budget(30)
    for _ in range(4):
        found = fleet.decide(0, 1, 2)
        assert all(found[w]["desired_replicas"] <= 15 for w in workloads)
        fleet.step()
        fleet.budget(30)
    held = [fleet.decisions()[w]["desired_replicas"] for w in workloads]
    assert sum(held) <= 30
    assert sum(held) >= 15  # far from the minima


@pytest.mark.parametrize(
    ("gpus", "gpu_type", "age_s"),
    [(None, "H100", 0.0), (100, "H100", 3600.0), (None, "*", 0.0)],
    ids=["unreadable", "stale", "not listed"],
)
def test_a_budget_that_could_not_be_read_allows_no_increase(
    fleet: Fleet, gpus: int | None, gpu_type: str, age_s: float
) -> None:
    up = fleet.add("up", 0, 10, 150.0)
    down = fleet.add("down", 0, 30, 100.0)
    fleet.budget(gpus, gpu_type, age_s)
    found = fleet.decide(0)
    assert found[up]["desired_replicas"] == 10
    assert found[up]["reason"] == "hold_budget_unreadable"
    assert found[down]["desired_replicas"] < 30


def test_the_price_is_absent_where_it_is_unknown_and_where_none_would_do(fleet: Fleet) -> None:
    w = fleet.add("w", 0, 10, 150.0, min_replicas=8)
    stored = {}
    for gpus in (None, 6):
        fleet.budget(gpus)
        stored[gpus] = fleet.decide(0)[w]["explanation"]["gpu_budget"]
        fleet.step()
    assert (stored[None]["price_usd_per_gpu_hour"], stored[None]["is_feasible"]) == (None, None)
    assert (stored[6]["price_usd_per_gpu_hour"], stored[6]["is_feasible"]) == (None, False)


def test_a_type_with_a_row_of_its_own_is_not_unknown(fleet: Fleet) -> None:
    w = fleet.add("w", 0, 10, 150.0)
    fleet.budget(None, "*")
    fleet.budget(12)
    assert fleet.decide(0)[w]["desired_replicas"] == 12


def test_what_is_advised_is_held_as_it_is(fleet: Fleet) -> None:
    """Advice is not applied, so a workload in mode Auto counts what the other one runs."""
    auto = fleet.add("auto", 0, 10, 150.0)
    advised = fleet.add("advised", 1, 10, 150.0, mode="Advisory")
    fleet.budget(30)
    found = fleet.decide(1, 0)
    assert found[advised]["desired_replicas"] > 10
    assert found[auto]["desired_replicas"] >= 15


def test_a_decision_under_a_budget_is_made_again_from_its_inputs(fleet: Fleet) -> None:
    a = fleet.add("a", 0, 10, 150.0)
    fleet.add("b", 1, 12, 115.0)
    fleet.budget(25)
    decision = fleet.decide(0)[a]
    assert service.replay(fleet.deps, decision["id"]).is_identical


def test_claims_are_stored_for_workloads_that_can_be_cut(fleet: Fleet) -> None:
    auto = fleet.add("auto", 0, 10, 150.0)
    fleet.add("advised", 0, 10, 150.0, mode="Advisory")
    fleet.budget(100)
    fleet.decide(0)
    with fleet.engine.connect() as connection:
        (row,) = connection.execute(text("SELECT * FROM gpu_claims")).mappings()
    assert row["workload_id"] == auto
    assert len(row["demand_replicas"]) == PRICES.size
    assert row["claimed_at"] == fleet.clock.now()


def test_shards_that_decide_at_the_same_time_never_exceed_the_budget(fleet: Fleet) -> None:
    """Four shards, four connections: each would take all of what is free."""
    workloads = [fleet.add(f"w{n}", n, 5, 200.0) for n in range(4)]
    fleet.budget(30)
    gate = threading.Barrier(4)

    def run(shard: int) -> None:
        gate.wait(30)
        service.decide_shard(fleet.deps, shard, fleet.origin)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(4)))
    found = fleet.decisions()
    granted = [found[w]["desired_replicas"] for w in workloads]
    assert sum(max(5, n) for n in granted) <= 30
    assert sum(granted) >= 28  # and it is used


def test_the_lock_is_held_until_the_decisions_are_committed(fleet: Fleet) -> None:
    """A second connection waits at the lock, and then sees what the first one granted."""
    a = fleet.add("a", 0, 10, 150.0)
    b = fleet.add("b", 1, 10, 150.0)
    fleet.budget(25)
    done = threading.Event()

    def second() -> None:
        service.decide_shard(fleet.deps, 1, fleet.origin)
        done.set()

    with fleet.engine.begin() as connection:
        repository.lock_budgets(connection, ["H100", "L4"])
        thread = threading.Thread(target=second)
        thread.start()
        _wait_for_a_lock(fleet.engine)
        assert not done.is_set()
        row = (10_000, fleet.origin, a, 10_000, fleet.deps.settings.policy_version)
        _grant(connection, row, fleet.clock.now(), 14)
    thread.join(30)
    assert done.is_set()
    assert fleet.decisions()[b]["desired_replicas"] == 11


def _wait_for_a_lock(engine: Engine) -> None:
    """Returns once some session of this database waits for an advisory lock."""
    query = text(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    for _ in range(2000):
        with engine.connect() as connection:
            if connection.execute(query).scalar_one():
                return
    pytest.fail("nobody waits for the lock")


def _grant(connection: Any, key: tuple[Any, ...], now: datetime, replicas: int) -> None:
    columns = repository.DECISION_COLUMNS
    row = dict.fromkeys(columns)
    names = ("id", "origin_at", "workload_id", "forecast_id", "policy_version")
    row |= dict(zip(names, key, strict=True))
    row |= {
        "decided_at": now, "valid_until": now + 3 * STEP, "current_replicas": 10,
        "raw_replicas": replicas, "desired_replicas": replicas, "direction": "up",
        "reason": "scale_up_risk", "rung": "model", "risk_target": 0.01,
        "cost_delta_usd_per_h": 0.0, "explanation": "{}",
    }  # fmt: skip
    repository.store_decisions(connection, [tuple(row.values())])


def test_a_decision_that_has_expired_or_is_not_applied_grants_nothing(fleet: Fleet) -> None:
    a = fleet.add("a", 0, 10, 150.0)
    later = fleet.clock.now() + 4 * STEP
    with fleet.engine.begin() as connection:
        row = (10_000, fleet.origin, a, 10_000, fleet.deps.settings.policy_version)
        _grant(connection, row, fleet.clock.now(), 14)
        found = {}
        for at in (fleet.clock.now(), later):
            (holding,) = repository.load_holdings(
                connection, ["H100"], fleet.deps.settings.policy_version, at
            )
            found[at] = budgets.to_holding(holding, fleet.deps.settings, at).held_replicas
    assert list(found.values()) == [14, 10]


def test_groups_of_a_shard_share_what_is_left(fleet: Fleet) -> None:
    """Forecasts of two shapes are decided one after the other, under one budget."""
    a = fleet.add("a", 0, 10, 150.0)
    b = fleet.add("b", 0, 10, 150.0)
    with fleet.engine.begin() as connection:  # b's paths are gone: its quantiles stand in
        connection.execute(
            text("UPDATE forecasts SET paths = NULL, n_paths = 0, n_horizon = 6 "
                 "WHERE workload_id = :id"), {"id": b},
        )  # fmt: skip
        connection.execute(
            text("UPDATE forecasts SET paths = substring(paths FOR 600), n_paths = 50 "
                 "WHERE workload_id = :id"), {"id": a},
        )  # fmt: skip
    fleet.budget(26)
    found = fleet.decide(0)
    assert sum(found[w]["desired_replicas"] for w in (a, b)) == 26
    assert min(found[w]["desired_replicas"] for w in (a, b)) >= 10


def test_deciding_twice_changes_nothing(fleet: Fleet) -> None:
    fleet.add("a", 0, 10, 150.0)
    fleet.budget(12)
    first = fleet.decide(0)
    assert fleet.decide(0) == first


def test_a_ledger_without_budgets_reads_nothing_more(fleet: Fleet) -> None:
    fleet.add("a", 0, 10, 150.0)
    with fleet.engine.connect() as connection:
        member = to_member(repository.load_workloads(connection, 0)[0])
        empty = budgets.open_ledger(connection, fleet.deps.settings, [member], NOW)
        assert (empty.budgets, empty.holdings) == ({}, {})
    fleet.budget(12)
    with fleet.engine.connect() as connection:
        ledger = budgets.open_ledger(connection, fleet.deps.settings, [member], NOW)
        assert ledger.budgets == {"H100": 12}
        assert [h.held_replicas for h in ledger.holdings.values()] == [10]
        ledger.holdings[7] = replace(
            ledger.holdings[member.id], shard=3, held_replicas=2, demand=None
        )
        rest = ledger.elsewhere("H100", {member.id})
        assert rest.held_gpus.tolist() == [2]
        assert rest.demand_gpus.tolist() == [[2] * PRICES.size]
