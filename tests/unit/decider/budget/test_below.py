"""What counts below all candidates risk is what it is where candidates reach down to them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from decider import DecideConfig, Limits, ReplicaState, ShardRequest
from decider.budget.below import N_POINTS, charge_at, shortage_at
from decider.planning.fallback import DecisionTime, stand
from decider.planning.outlook import Outlook, look_ahead
from decider.types import FloatArray, IntArray, RiskKind
from tests.unit.decider.shards import NOW_S, noisy, shard, workload
from tests.unit.decider.tables.soft_cases import response, sla, soft_shard

CONFIG = DecideConfig()
Made = Callable[[int], ShardRequest]


def sharp(runs: int, kind: RiskKind = "TimeFraction") -> ShardRequest:
    owner = workload(sla=sla(kind), replicas=ReplicaState(runs, runs), limits=Limits(1, 60))
    return shard(noisy(150.0, cv=0.05), [owner], lead_s=1e-3)


def requests(runs: int) -> ShardRequest:
    owner = workload(sla=sla(), replicas=ReplicaState(runs, runs), limits=Limits(1, 60))
    return soft_shard(noisy(150.0, cv=0.03), [response(3, n_draws=16)], [owner], lead_s=1e-3)


def outlook_of(request: ShardRequest) -> Outlook:
    time = DecisionTime(NOW_S, request.step_s)
    standing = stand(request.workloads[0], request.paths[0], time, 10.0, CONFIG.fallback)
    return look_ahead(request, [standing], CONFIG)


def of_both(
    made: Made, read: Callable[[Outlook, int, IntArray], FloatArray]
) -> tuple[FloatArray, FloatArray]:
    """What counts from 2 on are said to be where 40 run and where 2 do."""
    far, near = outlook_of(made(40)), outlook_of(made(2))
    counts = np.arange(2, int(far.grid.low[0]) + 3)
    assert near.grid.low[0] <= 2 < far.grid.low[0] - 3, "one of them reaches down"
    return read(far, 0, counts), read(near, 0, counts)


@pytest.mark.parametrize("made", [sharp, lambda runs: sharp(runs, "DemandFraction"), requests])
def test_what_is_left_unserved_does_not_depend_on_what_runs(made: Made) -> None:
    far, near = of_both(made, shortage_at)
    assert far == pytest.approx(near, rel=1e-4)
    assert (np.diff(far) < -0.5).all(), "each replica less leaves its load unserved"


@pytest.mark.parametrize("made", [sharp, lambda runs: sharp(runs, "DemandFraction"), requests])
def test_the_risk_does_not_depend_on_what_runs(made: Made) -> None:
    """Beyond `N_POINTS` counts it is on lines between those that are judged."""
    far, near = of_both(made, charge_at)
    assert far.size > N_POINTS or made is not requests
    assert far == pytest.approx(near, abs=0.02)
    assert (np.diff(far) <= 1e-9).all()


def test_requests_are_missed_the_more_the_fewer_replicas_there_are() -> None:
    outlook = outlook_of(requests(40))
    low = int(outlook.grid.low[0])
    risk = charge_at(outlook, 0, np.array([0, low // 2, low]))
    assert risk[0] == pytest.approx(1.0, abs=0.02)
    assert risk[0] >= risk[1] > risk[2] + 0.1
