"""Operators whose clock is wrong: rate limits are counted by the database's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from services.kernel.clock import SystemClock
from services.operator.kube.client import KubeClient
from services.operator.reconcile.reconcile_pass import reconcile_pass
from tests.integration.operator.conftest import Bench

pytestmark = pytest.mark.integration

ONE_POD = {
    "scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]},
}
WRONG_S = 75
"""More than the period; the decisions are valid all the same."""
NEAR = timedelta(seconds=30)


class WrongClock(SystemClock):
    """The machine's clock, wrong by some seconds."""

    def __init__(self, ahead_s: float) -> None:
        self._ahead = timedelta(seconds=ahead_s)

    def now(self) -> datetime:
        return super().now() + self._ahead


Decide = Callable[[int], None]


@pytest.fixture
def decide(bench: Bench) -> Decide:
    """Store a decision of a worker whose clock is right."""
    bench.lab.deploy("llama", replicas=3)
    bench.lab.autoscale("llama", behavior=ONE_POD)
    bench.reconcile()

    def store(desired: int) -> None:
        now = SystemClock().now()
        until = now + timedelta(minutes=5)
        changes = {"origin_at": now, "decided_at": now, "valid_until": until}
        bench.decide("llama", desired, current_replicas=desired - 1, **changes)

    return store


def lead(bench: Bench, ahead_s: float) -> None:
    """A pass of an operator that has just begun to lead, with this clock."""
    bench.fresh_operator()
    clock = WrongClock(ahead_s)
    reconcile_pass(replace(bench.deps, clock=clock), clock.now())


@pytest.mark.parametrize(
    ("first_s", "second_s"), [(0, WRONG_S), (-25, WRONG_S - 25), (WRONG_S, 0), (0, -25), (0, 0)]
)
def test_of_two_operators_with_different_clocks_none_rises_too_early(
    bench: Bench, decide: Decide, first_s: float, second_s: float
) -> None:
    decide(4)
    lead(bench, first_s)
    assert bench.lab.replicas("llama") == 4
    (row,) = bench.rows("actions")
    assert abs(row["applied_at"] - SystemClock().now()) < NEAR, "so it is held no longer either"
    decide(5)
    lead(bench, second_s)
    assert bench.lab.replicas("llama") == 4
    assert sorted(bench.results())[-1][2] == "waiting"


def test_what_a_dead_operator_made_is_found_at_the_databases_time(
    bench: Bench, decide: Decide, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    patch = KubeClient.patch_scale

    def die(*args: object) -> None:
        patch(*args)  # type: ignore[arg-type]
        raise Killed

    decide(4)
    with monkeypatch.context() as patched:
        patched.setattr(KubeClient, "patch_scale", die)
        with pytest.raises(Killed):
            lead(bench, 0)
    lead(bench, WRONG_S)
    (row,) = bench.rows("actions")
    assert (row["result"], row["to_replicas"]) == ("applied", 4)
    assert abs(row["applied_at"] - SystemClock().now()) < NEAR
