"""Gauges of the GPU budgets follow the budgets."""

from __future__ import annotations

import math

import numpy as np

from decider import PRICES
from services.decision.budgets.budgets import Ledger
from services.decision.budgets.holdings import Holding
from services.decision.decide.report import publish_budgets
from services.kernel.telemetry import REGISTRY


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


def gauge(name: str, gpu_type: str = "H100", cluster: str = "here") -> float | None:
    labels = {"cluster": cluster, "gpu_type": gpu_type}
    return REGISTRY.get_sample_value(f"harmony_gpu_budget_{name}", labels)


def test_gauges_follow_and_go_with_the_budget() -> None:
    publish_budgets(ledger(19), "here", {"H100", "L4"})
    assert (gauge("gpus"), gauge("price_usd")) == (19.0, PRICES[1])
    assert (gauge("gpus", "L4"), gauge("price_usd", "L4")) == (None, None)
    publish_budgets(ledger(9), "here", {"H100"})
    assert (gauge("gpus"), gauge("price_usd")) == (9.0, math.inf)
    publish_budgets(ledger(None), "here", {"H100"})  # it cannot be read: no series, never a zero
    assert (gauge("gpus"), gauge("price_usd")) == (None, None)
    publish_budgets(Ledger(), "here", {"H100"})
    assert gauge("gpus") is None


def test_a_budget_of_one_cluster_says_nothing_of_another() -> None:
    publish_budgets(ledger(19), "here", {"H100"})
    publish_budgets(ledger(9), "there", {"H100"})
    assert (gauge("gpus"), gauge("gpus", cluster="there")) == (19.0, 9.0)
    publish_budgets(ledger(None), "there", {"H100"})
    assert (gauge("gpus"), gauge("gpus", cluster="there")) == (19.0, None)
    publish_budgets(ledger(None), "here", {"H100"})
