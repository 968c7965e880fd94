"""Gauges of the GPU budgets follow the budgets."""

from __future__ import annotations

import math

import numpy as np
import pytest

from decider import PRICES
from services.decision.budgets.budgets import Ledger
from services.decision.budgets.holdings import Holding
from services.decision.decide.report import publish_budgets
from services.kernel import telemetry
from services.kernel.telemetry import REGISTRY

STEP_S = 60.0


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
    publish_budgets(ledger(19), "here", {"H100", "L4"}, STEP_S)
    assert (gauge("gpus"), gauge("price_usd")) == (19.0, PRICES[1])
    assert (gauge("gpus", "L4"), gauge("price_usd", "L4")) == (None, None)
    publish_budgets(ledger(9), "here", {"H100"}, STEP_S)
    assert (gauge("gpus"), gauge("price_usd")) == (9.0, math.inf)
    # it cannot be read: no series, never a zero
    publish_budgets(ledger(None), "here", {"H100"}, STEP_S)
    assert (gauge("gpus"), gauge("price_usd")) == (None, None)
    publish_budgets(Ledger(), "here", {"H100"}, STEP_S)
    assert gauge("gpus") is None


def test_a_budget_of_one_cluster_says_nothing_of_another() -> None:
    publish_budgets(ledger(19), "here", {"H100"}, STEP_S)
    publish_budgets(ledger(9), "there", {"H100"}, STEP_S)
    assert (gauge("gpus"), gauge("gpus", cluster="there")) == (19.0, 9.0)
    publish_budgets(ledger(None), "there", {"H100"}, STEP_S)
    assert (gauge("gpus"), gauge("gpus", cluster="there")) == (19.0, None)
    publish_budgets(ledger(None), "here", {"H100"}, STEP_S)


class Stopwatch:
    """Monotonic time that stands still."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


def test_the_price_of_a_type_that_no_service_has_any_longer_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its services were moved to another type; the shard's next runs know that one only."""
    watch = Stopwatch()
    monkeypatch.setattr(telemetry, "time", watch)
    publish_budgets(ledger(9), "here", {"H100"}, STEP_S)
    assert gauge("price_usd") == math.inf
    for _ in range(4):
        watch.now_s += STEP_S
        publish_budgets(Ledger({"L4": 8}), "here", {"L4"}, STEP_S)
    assert (gauge("price_usd"), gauge("gpus")) == (None, None)
    assert (gauge("price_usd", "L4"), gauge("gpus", "L4")) == (0.0, 8.0)
    watch.now_s += 4 * STEP_S  # the worker has nothing to decide any longer
    assert gauge("gpus", "L4") is None


def test_a_run_of_a_shard_without_the_type_says_nothing_of_its_price(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Shards go round among the workers: this one has the type's shard in every third step."""
    watch = Stopwatch()
    monkeypatch.setattr(telemetry, "time", watch)
    for step in range(30):
        if step % 3 == 0:
            publish_budgets(ledger(9), "here", {"H100"}, STEP_S)
        publish_budgets(Ledger({"L4": 8}), "here", {"L4"}, STEP_S)
        publish_budgets(ledger(19), "there", {"H100"}, STEP_S)
        watch.now_s += STEP_S - 1
        assert gauge("price_usd") == math.inf, "an alert that waits for ten minutes is not reset"
        assert gauge("price_usd", cluster="there") == PRICES[1]
    watch.now_s += 4 * STEP_S
    assert gauge("price_usd") is None
