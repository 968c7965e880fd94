"""Harmony's memory in one process: passed in and out, bounded, and never guessing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from decider import RiskControlConfig, RiskState, Sla, update_risk
from services.backtest.memory import N_REMEMBERED, DecisionMemory

SLA, CONFIG, STEP_S = Sla(0.01), RiskControlConfig(), 300.0


def decision(current: int, final: int, *, raw: int | None = None, price: float = 1.0) -> Any:
    wanted = final if raw is None else raw
    return SimpleNamespace(
        current=current,
        final=final,
        raw=wanted,
        next_log_multiplier=price,
        risk_after=0.002,
        risk_level=0.01,
        is_short=False,
    )


def test_what_was_not_measured_teaches_nothing() -> None:
    before = DecisionMemory.empty(2)
    after = before.learned(np.array([np.nan, 1.0]), SLA, STEP_S, CONFIG)
    assert after.risk[0] == RiskState()
    assert after.risk[1] == update_risk(RiskState(), 1.0, SLA, STEP_S, CONFIG)
    assert before == DecisionMemory.empty(2)


def test_a_workload_learns_from_nobody_else() -> None:
    calm = DecisionMemory.empty(2).learned(np.zeros(2), SLA, STEP_S, CONFIG)
    mixed = DecisionMemory.empty(2).learned(np.array([0.0, 1.0]), SLA, STEP_S, CONFIG)
    assert mixed.risk[0] == calm.risk[0]


def test_decisions_are_remembered_with_the_price_and_holds_are_no_changes() -> None:
    first = DecisionMemory.empty(1).decided([decision(3, 5, raw=6, price=2.5)], 100.0, CONFIG)
    held = first.decided([decision(5, 5, raw=4, price=2.0)], 400.0, CONFIG)
    assert held.recommendations == (((100.0, 6), (400.0, 4)),)
    assert held.changes == (((100.0, 2),),)
    assert held.risk[0].log_multiplier == 2.0
    assert first.risk[0].log_multiplier == 2.5
    assert 0.2 < held.risk[0].level_use < first.risk[0].level_use < 1.0
    past = held.history(0, np.array([1.0, 2.0]), 700.0)
    assert (past.changes, past.recommendations) == (held.changes[0], held.recommendations[0])
    assert past.demand_until_s == 700.0


def test_only_the_newest_are_kept() -> None:
    memory = DecisionMemory.empty(1)
    for n in range(N_REMEMBERED + 5):
        memory = memory.decided([decision(n, n + 1)], float(n), CONFIG)
    assert len(memory.recommendations[0]) == len(memory.changes[0]) == N_REMEMBERED
    assert memory.recommendations[0][0] == (5.0, 6)
