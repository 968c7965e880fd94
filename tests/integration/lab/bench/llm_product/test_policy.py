"""Harmony's own path in the loop, against a stand-in for the engine."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import text

from services.lab.arena.goals import RequestGoals
from services.lab.arena.loop import FinishedRequests, LoopTick, PoolCounts, PoolWork
from services.lab.arena.requests import RequestList
from services.lab.bench.llm_product import repository
from services.lab.bench.llm_product.policy import HarmonyPolicy
from services.lab.bench.llm_product.setup import (
    INPUT,
    OCCUPANCIES,
    OUTPUT,
    HarmonyPool,
    HarmonySetup,
)
from tests.integration.lab.bench.llm_product.queueing_engine import (
    LoopOutcome,
    QueueingLaw,
    run_loop,
)

GOALS = RequestGoals(1000.0, 40.0)
STARTUP_S = 30.0


def requests(per_s: float, minutes: float) -> RequestList:
    rng = np.random.default_rng(4)
    at_ms = np.cumsum(rng.exponential(1e3 / per_s, int(per_s * minutes * 60)))
    n_in = rng.integers(200, 1800, at_ms.size)
    return RequestList(at_ms, n_in, rng.integers(50, 250, at_ms.size))


def ran(database_url: str, stated: float, initial: int) -> tuple[HarmonyPolicy, LoopOutcome]:
    setup = HarmonySetup(GOALS, 0.99, STARTUP_S, {INPUT: stated}, "H200", initial, 30)
    policy = HarmonyPolicy(setup, database_url)
    return policy, run_loop(requests(12.0, 10.0), policy, QueueingLaw(), STARTUP_S, initial)


@pytest.mark.slow
def test_it_learns_what_a_capacity_per_replica_from_scrapes_alone(database_url: str) -> None:
    policy, outcome = ran(database_url, stated=1000.0, initial=12)  # truly some 5,000 tokens/s
    counts = [count for _, count in outcome.counts]
    assert min(counts[:8]) >= 12  # nothing is taken away before anything is known
    assert np.mean(counts[-8:]) < 10.0
    assert outcome.goodput(GOALS, requests(12.0, 10.0), 120.0) > 0.97
    decided = repository.all_decisions(policy.pipeline.engine, policy.workload_id)
    assert len(decided) == len(counts)
    assert [row["desired_replicas"] for row in decided] == counts


@pytest.mark.slow
def test_a_step_has_its_states_actions_and_outcomes(database_url: str) -> None:
    policy, outcome = ran(database_url, stated=4000.0, initial=3)
    n = len(outcome.counts)
    with policy.pipeline.engine.connect() as connection:
        rows = {
            table: connection.execute(text(f"SELECT count(*) FROM {table}")).scalar()
            for table in ("replica_states", "actions", "outcomes")
        }
        assert rows == {"replica_states": n + 1, "actions": n, "outcomes": n}
        starts = connection.execute(
            text("SELECT extract(epoch FROM ready_at - requested_at) FROM pod_starts")
        )
        lead_s = [float(row[0]) for row in starts if row[0] is not None]
    assert lead_s
    assert lead_s == pytest.approx([STARTUP_S] * len(lead_s))
    assert policy.pipeline.spent.runs["decide.decide_shard"] == n


def test_a_scrape_of_two_pools_says_how_full_they_are(database_url: str) -> None:
    pools = (
        HarmonyPool("prefill", (INPUT,), 2, "Time"),
        HarmonyPool("decode", (OUTPUT,), 1, "Room"),
    )
    stated = {INPUT: 5000.0, OUTPUT: 500.0}
    setup = HarmonySetup(GOALS, 0.99, STARTUP_S, stated, "H200", 3, 30, pools=pools)
    policy = HarmonyPolicy(setup, database_url)
    none = FinishedRequests(*np.zeros((4, 0)))
    work = {"prefill": PoolWork(1, 0, 0.75, 0.5), "decode": PoolWork(9, 0, 0.25, 1.0)}
    for step, n_decode in enumerate((1, 0, 1), start=1):
        counts = {"prefill": PoolCounts(2), "decode": PoolCounts(n_decode, 1 - n_decode)}
        policy.on_tick(LoopTick(15.0 * step, counts, 20, none, 10, 0, 0.25, work))
    query = text(
        "SELECT value, is_observed FROM indicators WHERE indicator = :name ORDER BY step_at"
    )
    with policy.pipeline.engine.connect() as connection:
        of_steps = {
            of: [tuple(row) for row in connection.execute(query, {"name": name})][-3:]
            for of, name in OCCUPANCIES.items()
        }  # one step before them was never measured
    assert of_steps == {
        "Room": [(0.25, True), (None, False), (0.25, True)],
        "Time": [(0.5, True)] * 3,
    }
