"""What a learned response means for a decision: loads, requests, what cannot be cured."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from decider import MissDraws, MissPrior
from services.decision.rows.lead_times import N_DRAWS
from services.decision.rows.responses import (
    LearnedResponse,
    judged_requests,
    thinned_draws,
    tolerated_share,
    unreachable_message,
)
from services.kernel.domain import WorkloadSpec


def spec(kind: str = "TimeFraction", epsilon: float = 0.02) -> WorkloadSpec:
    objective = {"goals": [{"metric": "ttft", "threshold_s": 0.5}], "share": 0.95}
    return WorkloadSpec.model_validate(
        {
            "target": "Deployment/w",
            "demand": "request_rate_rps",
            "indicators": [{"name": "request_rate_rps", "level": 1}],
            "capacity": {"per_replica": 10.0},
            "sla": {"kind": kind, "epsilon": epsilon, "objective": objective},
        }
    )


def with_floor(floor: float) -> MissDraws:
    n = 64
    return MissDraws(np.full(n, 10.0), np.full(n, 12.0), np.full(n, floor), np.full(n, 100.0))


@pytest.mark.parametrize(
    ("kind", "epsilon", "share"),
    [("TimeFraction", 0.02, 0.05), ("DemandFraction", 0.02, 0.02)],
)
def test_the_promise_says_how_many_may_miss(kind: str, epsilon: float, share: float) -> None:
    assert tolerated_share(spec(kind, epsilon)) == pytest.approx(share)


@pytest.mark.parametrize(
    ("total", "step_s", "kind", "judged"),
    [
        ([100.0, 300.0], 60.0, "TimeFraction", 200.0),
        ([100.0, 300.0], 15.0, "TimeFraction", 800.0),
        ([100.0, 300.0], 15.0, "DemandFraction", 200.0),
        ([100.0, 300.0], 300.0, "TimeFraction", 200.0),
        ([1.0, 3.0], 60.0, "TimeFraction", 20.0),  # with those of earlier minutes
        ([], 60.0, "TimeFraction", np.inf),
    ],
)
def test_a_step_is_judged_by_its_minutes_requests(
    total: list[float], step_s: float, kind: str, judged: float
) -> None:
    assert judged_requests(np.array(total), spec(kind), step_s) == pytest.approx(judged)


@given(n=st.integers(1, 300))
def test_thinning_keeps_the_quantiles(n: int) -> None:
    draws = MissPrior.stated(10.0, 0.0, 0.05).draws(n)
    few = thinned_draws(draws, N_DRAWS)
    assert few.capacity.size == N_DRAWS
    assert (np.diff(few.capacity) >= 0).all()
    assert abs((draws.capacity <= np.median(few.capacity)).mean() - 0.5) <= 0.5 / n + 0.02


def test_a_response_brings_the_load_that_tips_the_promise() -> None:
    of_requests = LearnedResponse.of(with_floor(0.0), spec("DemandFraction"), 1000.0)
    np.testing.assert_allclose(of_requests.capacity, of_requests.draws.load_within(0.02))
    of_time = LearnedResponse.of(with_floor(0.0), spec(), 1000.0)
    assert np.median(of_time.capacity) == pytest.approx(
        float(of_time.draws.load_within(0.05)[0]), rel=0.02
    )


def test_a_floor_beyond_the_promise_is_said_to_be_out_of_reach() -> None:
    good, bad = (LearnedResponse.of(with_floor(f), spec(), 1000.0) for f in (0.049, 0.08))
    assert unreachable_message(None, spec()) == ""
    assert unreachable_message(good, spec()) == ""
    assert unreachable_message(bad, spec()).startswith(
        "8 % of requests miss at any load; the promise allows 5 %: no number of replicas"
    )
    assert unreachable_message(good, spec("DemandFraction")).startswith("4.9 % of requests")
