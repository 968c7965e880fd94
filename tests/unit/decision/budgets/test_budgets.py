"""Shadow price of a budget over the fleet."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from decider import PRICES
from services.decision.budgets.budgets import Ledger, note_decisions
from services.decision.budgets.holdings import Holding


def steps(*counts: int) -> np.ndarray:
    """Counts taken at the first prices; the last one holds at every higher price."""
    return np.array([*counts, *[counts[-1]] * (PRICES.size - len(counts))], dtype=np.int64)


def ledger(budget: int | None) -> Ledger:
    """At rising prices 2 * (5, 3, 1, ...) + 4 + (9, 9, 4, ...) GPUs: 23, 19, 10, ..."""
    holdings = {
        1: Holding(0, "H100", 2, 5, steps(5, 3, 1)),
        2: Holding(0, "H100", 1, 4, None),
        3: Holding(1, "H100", 1, 9, steps(9, 9, 4)),
        4: Holding(1, "L4", 8, 100, None),
    }
    return Ledger({"H100": budget}, holdings)


@pytest.mark.parametrize(
    ("budget", "price"),
    [
        (30, 0.0),
        (23, 0.0),
        (22, PRICES[1]),
        (19, PRICES[1]),
        (18, PRICES[2]),
        (10, PRICES[2]),
        (9, math.inf),
    ],
)
def test_the_price_is_the_least_at_which_the_fleet_fits(budget: int, price: float) -> None:
    assert ledger(budget).price("H100") == price


@pytest.mark.parametrize(
    ("mode", "current", "final", "held"),
    [
        ("Auto", 4, 7, 7),
        ("Auto", 4, 1, 4),
        ("Approval", 4, 7, 4),
        ("Approval", 4, 1, 4),
        ("Advisory", 4, 7, 4),
        ("Advisory", 4, 1, 4),
    ],
)
def test_a_rise_holds_from_its_decision_on_and_a_fall_until_it_is_made(
    mode: str, current: int, final: int, held: int
) -> None:
    """What follows must not be given what is there still, nor what is on its way."""
    found = ledger(20)
    member = SimpleNamespace(id=2, spec=SimpleNamespace(mode=mode))
    decision = SimpleNamespace(current=current, final=final, budget_demand=())
    made: Any = SimpleNamespace(member=member, whole=decision, counts=())
    note_decisions(found, [made], datetime(2026, 1, 5, tzinfo=UTC))
    assert found.holdings[2].held_replicas == held


def test_without_a_readable_budget_there_is_no_price() -> None:
    assert ledger(None).price("H100") is None
    assert ledger(10).price("L4") is None


@given(st.lists(st.integers(0, 60), min_size=2, max_size=8))
def test_a_larger_budget_is_never_dearer(budgets: list[int]) -> None:
    prices = [ledger(budget).price("H100") for budget in sorted(budgets)]
    assert prices == sorted(prices, reverse=True)  # type: ignore[type-var]
