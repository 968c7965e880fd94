"""Prefill and decode with workers of their own: what is measured, told and run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

from services.lab.arena.goals import RequestGoals
from services.lab.arena.loop import DECODE, PREFILL, LoopResult, WorkerTimeline
from services.lab.arena.requests import RequestList, ServedRequests
from services.lab.bench.llm.entrants import harmony_setup
from services.lab.bench.llm.families import FAMILIES, PoolRace
from services.lab.bench.llm.keep import KeptRuns
from services.lab.bench.llm.race import Race, RaceTrack
from services.lab.bench.llm.rivals import capacity
from services.lab.bench.llm.rivals.capacity import WorkLaw, measure_works
from services.lab.bench.llm.rivals.each_pool import EachPool
from services.lab.bench.llm.runs import RaceRunner
from services.lab.bench.llm.score import minutes_of
from services.lab.bench.llm.traces.trace import LlmTrace
from services.lab.bench.llm_product.setup import INPUT, OUTPUT, HarmonyPool
from tests.unit.lab.bench.llm.pool_engine import PoolEngine
from tests.unit.lab.bench.llm.queue_engine import small_trace

LAWS = {PREFILL: WorkLaw(0.0, 0.001, 0.0), DECODE: WorkLaw(0.0, 0.0, 0.006)}


def pooled_trace() -> LlmTrace:
    """Prompts of 500 and answers of 50 tokens: half a second of prefill, 0.3 s of decode."""
    one = small_trace()
    n = len(one.requests)
    requests = RequestList(one.requests.arrival_ms, np.full(n, 500), np.full(n, 50))
    return replace(one, requests=requests, goals=RequestGoals(2000.0, 240.0))


RACE = Race(pooled_trace(), 7, 30.0, LAWS)


def test_what_each_pool_carries_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "_MINUTES", 6.0)
    laws = measure_works(cast("Any", PoolEngine()), RACE.trace)
    lengths = np.array([500.0]), np.array([50.0])
    assert 0.5 <= laws[PREFILL].of(*lengths)[0] <= 0.7
    assert 0.3 <= laws[DECODE].of(*lengths)[0] <= 0.45
    assert laws[PREFILL].per_output_s == 0


def test_all_start_with_workers_for_the_first_minutes() -> None:
    assert RACE.pools == (PREFILL, DECODE)
    assert RACE.initial == RACE.setup.initial == {PREFILL: 3, DECODE: 2}


def test_harmony_is_told_a_load_and_a_capacity_of_each_pool() -> None:
    setup = harmony_setup(RACE, 0.99, LAWS)
    assert setup.stated == pytest.approx({INPUT: 1000.0, OUTPUT: 1000.0 / 6.0})
    assert setup.pools == (
        HarmonyPool(PREFILL, (INPUT,), 3, "Time"),
        HarmonyPool(DECODE, (OUTPUT,), 2, "Room"),
    )
    assert setup.initial == 5


@pytest.mark.parametrize("name", FAMILIES)
def test_every_rule_scales_both_pools(name: str) -> None:
    family = FAMILIES[name]
    lean, rich = (
        PoolEngine().loop(RACE.trace.requests, RACE.setup, family.policy(RACE, setting))
        for setting in (family.settings_in(RACE)[0], family.settings_in(RACE)[-1])
    )
    for pool in (PREFILL, DECODE):
        held = [found.alive[pool].worker_s(60.0, 660.0) for found in (lean, rich)]
        assert held[0] < held[1]


def test_what_a_full_worker_has_in_hand_is_of_its_own_goal() -> None:
    # half a second of prefill in two seconds; 0.3 s of decode in 50 tokens of 240 ms
    assert PoolRace(RACE, PREFILL).full_in_hand == pytest.approx(4.0)
    assert PoolRace(RACE, DECODE).full_in_hand == pytest.approx(40.0)


@pytest.mark.parametrize("name", ["hpa", "hpa_kv", "keda", "keda_kv"])
def test_an_hpa_has_a_target_for_each_pool(name: str) -> None:
    family = FAMILIES[name]
    assert len(family.settings_in(RACE)) == 16
    decode = {"in_flight": 8.0, "kv_usage": 0.33}
    policy = family.policy(RACE, 13.0)
    assert isinstance(policy, EachPool)
    rules = {pool: cast("Any", one)._rules for pool, one in policy.policies.items()}
    assert (rules[PREFILL].signal, rules[PREFILL].target) == ("in_flight", pytest.approx(1.4))
    assert rules[DECODE].target == pytest.approx(decode[rules[DECODE].signal])
    assert (rules[DECODE].signal == "kv_usage") == name.endswith("_kv")


def test_every_pair_of_targets_is_run() -> None:
    engine = PoolEngine()
    runner = RaceRunner(RaceTrack(RACE, cast("Any", engine)), KeptRuns(), lambda _text: None)
    found = dict(runner.run("hpa"))
    assert len(found) == engine.n_loops == 16
    assert set(found) == {
        10.0 * prefill + decode for prefill in range(1, 5) for decode in range(1, 5)
    }


@pytest.mark.slow
def test_the_oracle_schedules_both() -> None:
    track = RaceTrack(RACE, cast("Any", PoolEngine()))
    runner = RaceRunner(track, KeptRuns(), lambda _text: None)
    found = {goal: minutes.part(6, 11) for goal, minutes in runner.run("oracle")}
    fixed = [minutes.part(6, 11) for _, minutes in runner.run("fixed")]
    reached = [goal for goal, score in found.items() if score.goodput >= goal]
    assert len(reached) >= 6
    for goal in reached:
        least = min((one.gpu_hours for one in fixed if one.goodput >= goal), default=np.inf)
        assert found[goal].gpu_hours <= 1.1 * least


def test_misses_are_told_apart_by_the_pool_whose_goal_they_are_of() -> None:
    result = LoopResult(
        served=ServedRequests(
            np.array([9.0, 3000.0, 9.0, np.nan]), np.array([9.0, 9.0, 900.0, np.nan]), np.ones(4)
        ),
        arrival_ms=np.arange(4.0),
        alive={pool: WorkerTimeline(np.zeros(1), np.ones(1, int)) for pool in (PREFILL, DECODE)},
        events={},
        decided=(),
        gpus={PREFILL: 1, DECODE: 2},
        ended_s=1.0,
    )
    minutes = minutes_of(result, RACE.trace.goals, 8)
    assert {pool: missed.tolist() for pool, missed in minutes.missed.items()} == {
        PREFILL: [2],
        DECODE: [2],
    }
    assert minutes.good.tolist() == [1]
    assert minutes.gpu_s.tolist() == [180.0]
