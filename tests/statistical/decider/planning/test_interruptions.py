"""A promise is kept on spot nodes that are interrupted five times a day."""

from __future__ import annotations

import numpy as np
import pytest

from decider import (
    DecideConfig,
    History,
    Limits,
    RiskState,
    ShardRequest,
    Sla,
    decide_shard,
)
from tests.statistical.decider.planning.spot_targets import (
    CAPACITY,
    LEAD_STEPS,
    STEP_S,
    Interruptions,
    SpotTarget,
    demands,
    short_chance,
)
from tests.unit.decider.shards import workload

N_SERVICES, N_STEPS, WARM_UP, HORIZON = 12, 840, 240, 8
EPSILON = 0.01
INTERRUPTIONS_A_DAY = 5.0


def run(interruptions_a_day: float, *, is_known: bool) -> tuple[float, float]:
    """Share of the steps out of SLA, and replicas asked for on the mean."""
    rng, config = np.random.default_rng(11), DecideConfig()
    services = [SpotTarget() for _ in range(N_SERVICES)]
    interruptions = Interruptions(rng, interruptions_a_day / 24.0 / 5.0)  # of about five nodes
    missed, asked = [], []
    for step in range(N_STEPS):
        now_s = (10_000 + step) * STEP_S
        demand = demands(rng, N_SERVICES)
        for service in services:
            service.land()
        interruptions.strike(services)
        missed.append(short_chance(np.array([one.ready for one in services])))
        owners = tuple(
            workload(
                f"w{i}",
                replicas=one.state(is_known=is_known),
                limits=Limits(1, 60),
                sla=Sla(EPSILON),
                history=History(demand[i : i + 1], now_s),
                forecast_origin_s=now_s - STEP_S,
                risk=RiskState(log_multiplier=one.log_multiplier),
            )
            for i, one in enumerate(services)
        )
        request = ShardRequest(
            owners,
            demands(rng, N_SERVICES, 200, HORIZON),
            np.full((N_SERVICES, 8), CAPACITY),
            np.full((N_SERVICES, 8), LEAD_STEPS * STEP_S),
            STEP_S,
        )
        for service, made in zip(services, decide_shard(request, config, now_s), strict=True):
            service.log_multiplier = made.next_log_multiplier
            service.scale(made.final)
            asked.append(made.final)
    return float(np.mean(missed[WARM_UP:])), float(np.mean(asked[WARM_UP * N_SERVICES :]))


@pytest.mark.slow
def test_the_promise_is_kept_within_a_third_of_a_point() -> None:
    unknown, held_unknown = run(INTERRUPTIONS_A_DAY, is_known=False)
    known, held = run(INTERRUPTIONS_A_DAY, is_known=True)
    print(f"\npromised {EPSILON:.1%}; out of SLA and replicas asked for:")
    print(f"  interrupted, unknown {unknown:.2%}  {held_unknown:.2f}")
    print(f"  interrupted, known   {known:.2%}  {held:.2f}")
    assert known <= EPSILON + 0.003
    assert known < unknown - 0.001
    assert held > held_unknown
