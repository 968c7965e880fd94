"""Sums over minutes, and figures of a part of them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from services.lab.arena.goals import RequestGoals
from services.lab.arena.loop import SERVE, LoopDecision, LoopResult, WorkerTimeline
from services.lab.arena.requests import ServedRequests
from services.lab.bench.llm.score import PathCost, RunMinutes, minutes_of

GOALS = RequestGoals(1000.0, 50.0)


def result() -> LoopResult:
    ttft = np.array([10.0, 2000.0, 10.0, np.nan, 10.0])
    tpot = np.array([20.0, 20.0, 90.0, np.nan, np.nan])
    return LoopResult(
        served=ServedRequests(ttft, tpot, ttft),
        arrival_ms=np.array([0.0, 59_000.0, 61_000.0, 70_000.0, 130_000.0]),
        alive={SERVE: WorkerTimeline(np.array([0.0, 30.0, 90.0]), np.array([2, 4, 1]))},
        events={SERVE: 2},
        decided=(
            LoopDecision(0.0, {SERVE: 2}),
            LoopDecision(30.0, {SERVE: 4}),
            LoopDecision(45.0, {}),
            LoopDecision(70.0, {SERVE: 9}),
            LoopDecision(80.0, {SERVE: 12}),
            LoopDecision(90.0, {SERVE: 1}),
        ),
        gpus={SERVE: 2},
        ended_s=140.0,
    )


def test_minutes_are_summed() -> None:
    minutes = minutes_of(result(), GOALS, most=8)
    assert minutes.requests.tolist() == [2, 2, 1]
    assert minutes.good.tolist() == [1, 0, 1]
    assert minutes.gpu_s.tolist() == [2 * 180.0, 2 * 150.0, 2 * 60.0]
    # 9 and 12 are both the most that there is
    assert minutes.events.tolist() == [1, 2, 0]


def test_a_first_change_is_one_of_the_workers_at_the_start() -> None:
    only = replace(
        result(), decided=(LoopDecision(61.0, {SERVE: 5}), LoopDecision(95.0, {SERVE: 5}))
    )
    assert minutes_of(only, GOALS, most=8).events.tolist() == [0, 1, 0]


def test_a_part_is_scored_and_a_document_is_the_same() -> None:
    minutes = RunMinutes.from_json(minutes_of(result(), GOALS, most=8).to_json())
    part = minutes.part(0, 2)
    assert part.goodput == pytest.approx(0.25)
    assert part.gpu_hours == pytest.approx(660.0 / 3600.0)
    assert (part.minutes_out_of_sla, part.scale_events) == (2, 3)
    assert minutes.part(2, 3).goodput == 1.0
    assert math.isnan(minutes.part(3, 3).goodput)


def test_what_harmonys_own_path_costs_is_of_an_hour_and_of_a_decision() -> None:
    minutes = minutes_of(result(), GOALS, most=8)
    assert minutes.cpu is None
    # three minutes are a twentieth of an hour
    own = replace(minutes, cost=PathCost(path_s=2.0, decide_s=0.6, decisions=12))
    assert RunMinutes.from_json(own.to_json()).cpu == {"hour_s": 40.0, "decision_ms": 50.0}
    assert replace(minutes, cost=PathCost(1.0, 0.0, 0)).cpu is None
