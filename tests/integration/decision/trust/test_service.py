"""The trust gate on a real Postgres: looks, demotion, what answers then, and the way back."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from celery import Celery
from sqlalchemy import Engine, text

from decider import TrustVerdict
from services.decision.decide.replay import replay
from services.decision.trust import service as trust_service
from services.decision.trust.service import TrustReport, judge_shard, send_due
from services.kernel.db.partitions import ensure_partitions
from services.kernel.jobs import DECIDE_TRUST
from services.kernel.settings import Settings
from tests.exported import exported
from tests.integration.decision.judged_past import (
    DAY,
    PER_DAY,
    START,
    STEP,
    STEP_S,
    Bench,
    demand_at,
)
from tests.integration.decision.pool_rows import DECODE, PREFILL
from tests.integration.decision.stored_rows import TOKENS, add_demand, bound_by_tokens

pytestmark = pytest.mark.integration


@pytest.fixture
def bench(database: Engine, settings: Settings) -> Bench:
    return Bench(database, settings)


def test_a_wasteful_model_loses_its_place_and_earns_it_again(bench: Bench) -> None:
    """End to end: while it is not trusted, what its forecasts ask for is recorded and judged."""
    workload = bench.workload("w")
    bench.past(workload, (0, 11), ratio=2.0)

    assert judge_shard(bench.deps, 0, is_scheduled=True).demoted == ("demo/w",)

    verdict = bench.verdicts()[workload]
    assert not verdict["is_trusted"]
    assert verdict["n_looks"] == 1
    assert verdict["scores"]["model"]["replicas"] > 1.4 * verdict["scores"]["trailing"]["replicas"]
    assert verdict["reason"].endswith("clearly worse")

    row = bench.decide(workload, level=300.0)
    rule = verdict["scores"]["rule"]
    trailing = int(np.ceil(250 * (1 + rule["margin_ratio"]) / 10 * (1 - 1e-9)))
    assert (row["rung"], row["raw_replicas"]) == ("trailing_percentile", trailing)
    record = row["explanation"]
    assert record["trust"] == {"is_model_trusted": False, "reason": verdict["reason"]}
    assert record["guard_trace"][0]["detail"] == f"the model is not trusted: {verdict['reason']}"
    assert 31 <= record["model_replicas"] <= 36  # what 300 on 10 each ask for
    assert replay(bench.deps, row["id"]).is_identical
    assert trusted(bench, "w") == 0.0

    day = 11
    while not bench.verdicts()[workload]["is_trusted"]:
        assert day < 25
        bench.past(workload, (day, day + 1), ratio=1.0, is_shadow=True)
        day += 1
        report = judge_shard(bench.deps, 0, is_scheduled=True)
    assert report.reinstated == ("demo/w",)
    assert day >= 11 + 5
    row = bench.decide(workload, level=300.0)
    assert row["rung"] == "model"
    assert 31 <= row["raw_replicas"] <= 36
    assert "model_replicas" not in row["explanation"]
    assert row["explanation"]["trust"]["is_model_trusted"]
    assert replay(bench.deps, row["id"]).is_identical
    assert trusted(bench, "w") == 1.0


def trusted(bench: Bench, workload: str) -> float | None:
    """As it is exported."""
    return exported(bench.deps.engine, bench.clock.now(), "model_trusted", workload=workload)


def test_a_good_model_keeps_its_place_and_both_costs_are_told(bench: Bench) -> None:
    good, unseen = bench.workload("good"), bench.workload("unseen")
    bench.past(good, (0, 12), ratio=1.0)

    report = judge_shard(bench.deps, 0, is_scheduled=True)

    assert report == TrustReport(1, (), (), ("demo/unseen",))
    found = bench.verdicts()
    assert found[good]["is_trusted"]
    assert "% out of SLA" in found[good]["reason"]
    assert found[good]["scores"]["n_blocks"] == 10
    assert (found[unseen]["is_trusted"], found[unseen]["n_looks"]) == (True, 0)
    assert found[unseen]["reason"].startswith("no finished step")


def test_of_a_service_with_pools_it_is_said_that_it_is_not_judged(bench: Bench) -> None:
    """It was told that no step of it had been measured; and what was not trusted stayed so."""
    workload = bench.workload("w")
    bench.past(workload, (0, 11), ratio=2.0)
    judge_shard(bench.deps, 0, is_scheduled=False)
    assert not bench.verdicts()[workload]["is_trusted"]
    with bench.deps.engine.begin() as connection:
        pools = {"pools": [PREFILL, DECODE]} | bound_by_tokens()
        connection.execute(
            text("UPDATE workloads SET spec = spec || CAST(:pools AS jsonb)"),
            {"pools": json.dumps(pools)},
        )

    judge_shard(bench.deps, 0, is_scheduled=False)

    found = bench.verdicts()[workload]
    assert found["is_trusted"]
    assert found["reason"].startswith("trusted without a look: a sum over pools")


@pytest.mark.parametrize("is_shadow", [False, True])
def test_a_wasteful_model_is_found_out_where_decisions_come_every_third_step(
    bench: Bench, is_shadow: bool
) -> None:
    """As with steps of 5 s and samples every 15 s: a count stands until the next one."""
    workload = bench.workload("w", lead_time={"median_s": 3.0 * STEP_S, "sigma": 0.1})
    bench.past(workload, (0, 11), ratio=3.0, every=3, valid_steps=3, is_shadow=is_shadow)
    assert judge_shard(bench.deps, 0, is_scheduled=True).n_looks == 1
    found = bench.verdicts()[workload]
    assert found["scores"]["model"]["replicas"] > 1.5 * found["scores"]["trailing"]["replicas"]
    assert (found["scores"]["n_blocks"], found["is_trusted"]) == (9, False)


@pytest.mark.parametrize("ratio", [0.5, 2.0])
def test_a_model_is_judged_on_after_steps_got_another_length(bench: Bench, ratio: float) -> None:
    workload = bench.workload("w")
    bench.past(workload, (0, 11), ratio=2.0)
    assert judge_shard(bench.deps, 0, is_scheduled=True).demoted == ("demo/w",)
    with bench.deps.engine.begin() as connection:
        connection.execute(text("UPDATE workloads SET step_s = :s"), {"s": STEP_S * ratio})
    bench.past(workload, (11, 12), ratio=2.0, is_shadow=True)
    assert judge_shard(bench.deps, 0, is_scheduled=True).n_looks == 1
    assert not bench.verdicts()[workload]["is_trusted"]


def test_a_count_that_has_run_out_is_no_evidence(bench: Bench) -> None:
    bench.past(bench.workload("w"), (0, 11), ratio=3.0, every=3)
    assert judge_shard(bench.deps, 0, is_scheduled=True).demoted == ()
    assert [row["scores"].get("model") for row in bench.verdicts().values()] == [None]


@pytest.mark.parametrize("is_shadow", [False, True])
def test_a_service_on_spot_nodes_keeps_its_model(bench: Bench, is_shadow: bool) -> None:
    """What is held for interruptions is no waste of the forecast: no rung below would hold it."""
    workload = bench.workload("w")
    bench.past(workload, (0, 12), ratio=1.0, held=12, is_shadow=is_shadow)
    seen_at = bench.clock.now() - DAY
    with bench.deps.engine.begin() as connection:
        ensure_partitions(connection, "replica_states", seen_at, seen_at)
        connection.execute(
            text(
                "INSERT INTO replica_states (workload_id, observed_at, spec_replicas, "
                "ready_replicas, starting_replicas, pending_replicas, start_ages_s, "
                "spot_replicas, spot_nodes) VALUES (:id, :at, 40, 40, 0, 0, '{}', 30, 10)"
            ),
            {"id": workload, "at": seen_at},
        )

    assert judge_shard(bench.deps, 0, is_scheduled=True).demoted == ()
    scores = bench.verdicts()[workload]["scores"]
    assert scores["model"]["replicas"] < scores["trailing"]["replicas"]


def test_what_a_rung_below_answered_alone_is_not_the_models(bench: Bench) -> None:
    """Without a forecast there is no count of it: nothing is compared, nobody is blamed."""
    workload = bench.workload("w")
    bench.past(workload, (0, 12), ratio=2.0, is_shadow=True)
    with bench.deps.engine.begin() as connection:
        connection.execute(text("UPDATE decisions SET explanation = '{}'"))
    judge_shard(bench.deps, 0, is_scheduled=True)
    verdict = bench.verdicts()[workload]
    assert verdict["is_trusted"]
    assert verdict["reason"].startswith("0 of 7 blocks")


def test_a_model_that_follows_the_load_that_binds_is_not_wasteful(bench: Bench) -> None:
    """Its counts are twice what the demand would need alone, and what the tokens do."""
    workload = bench.workload("w", **bound_by_tokens(per_replica=200.0))
    bench.past(workload, (0, 11), ratio=2.0)
    tokens = [40.0 * demand_at(step) for step in range(11 * PER_DAY)]
    last = START + (11 * PER_DAY - 1) * STEP
    add_demand(bench.deps.engine, workload, tokens, last=last, indicator=TOKENS, step=STEP)

    assert judge_shard(bench.deps, 0, is_scheduled=True).demoted == ()
    scores = bench.verdicts()[workload]["scores"]
    assert scores["model"]["replicas"] < 1.1 * scores["trailing"]["replicas"]


def test_a_second_look_at_the_same_days_counts_nothing_twice(bench: Bench) -> None:
    workload = bench.workload("w")
    bench.past(workload, (0, 6), ratio=2.0)
    judge_shard(bench.deps, 0, is_scheduled=False)
    first = bench.verdicts()[workload]["state"]
    judge_shard(bench.deps, 0, is_scheduled=False)
    assert bench.verdicts()[workload]["state"] == first | {"n_looks": 2}


def test_a_look_locks_nothing_while_it_judges_and_gives_way_to_another(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a large shard that takes a minute, which no transaction may stand still for."""
    workload = bench.workload("w")
    bench.past(workload, (0, 6), ratio=2.0)
    judge, n_open = trust_service.judge_model, list[int]()
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = "

    def judged(*given: Any) -> TrustVerdict:
        if not n_open:
            with bench.deps.engine.connect() as connection:
                found = connection.execute(text(f"{query}'idle in transaction'"))
                n_open.append(found.scalar_one())
            judge_shard(bench.deps, 0, is_scheduled=False)
        return judge(*given)

    monkeypatch.setattr(trust_service, "judge_model", judged)
    report = judge_shard(bench.deps, 0, is_scheduled=False)
    assert n_open == [0]
    assert report.n_looks == 0
    assert bench.verdicts()[workload]["n_looks"] == 1


def test_looks_are_made_once_per_interval_however_often_it_is_asked(bench: Bench) -> None:
    here, there = bench.workload("here"), bench.workload("there", shard=3)
    assert send_due(bench.deps, is_scheduled=True) == [0, 3]
    assert [(job.name, dict(job.payload)) for job in bench.sender.sent] == [
        (DECIDE_TRUST, {"shard": shard, "is_scheduled": True}) for shard in (0, 3)
    ]
    judge_shard(bench.deps, 0, is_scheduled=True)
    assert send_due(bench.deps, is_scheduled=True) == [3]
    assert send_due(bench.deps, is_scheduled=False) == [0, 3]
    judge_shard(bench.deps, 3, is_scheduled=True)
    made = {key: row["decided_at"] for key, row in bench.verdicts().items()}
    bench.clock.advance(86_399)
    assert send_due(bench.deps, is_scheduled=True) == []
    judge_shard(bench.deps, 0, is_scheduled=True)
    assert {key: row["decided_at"] for key, row in bench.verdicts().items()} == made
    bench.clock.advance(1)
    assert send_due(bench.deps, is_scheduled=True) == [0, 3]
    judge_shard(bench.deps, 0, is_scheduled=True)
    again = {key: row["decided_at"] for key, row in bench.verdicts().items()}
    assert again == {here: START + DAY, there: made[there]}


def test_a_gate_that_is_off_distrusts_nobody(bench: Bench) -> None:
    workload = bench.workload("w")
    bench.past(workload, (0, 11), ratio=2.0)
    judge_shard(bench.deps, 0, is_scheduled=True)
    assert not bench.verdicts()[workload]["is_trusted"]
    off = bench.deps.settings.model_copy(update={"trust_interval_s": 0.0})
    bench.deps = replace(bench.deps, settings=off)
    row = bench.decide(workload, level=300.0)
    assert row["rung"] == "model"
    assert "trust" not in row["explanation"]


def test_the_job_judges_a_shard_or_sends_itself(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from services.decision import tasks

    asked: list[Any] = []
    monkeypatch.setattr(tasks, "worker_deps", lambda: bench.deps)
    monkeypatch.setattr(tasks, "send_due", lambda _, due: asked.append(("all", due)))
    monkeypatch.setattr(tasks, "judge_shard", lambda _, n, due: asked.append((n, due)))
    celery = Celery("test", include=[tasks.__name__])
    celery.loader.import_default_modules()
    celery.tasks[DECIDE_TRUST](is_scheduled=True)
    celery.tasks[DECIDE_TRUST](shard=0, is_scheduled=True)
    celery.tasks[DECIDE_TRUST](shard=3)
    assert asked == [("all", True), (0, True), (3, False)]
