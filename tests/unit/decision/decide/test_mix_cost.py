"""What a mix of variants costs in a step: each moment by what ran then, each GPU at its price."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from services.decision.decide.mix_cost import mix_cost
from services.decision.decide.outcomes import WorkloadOutcomes, finished_outcomes
from services.decision.rows.inputs import ShardRows
from services.decision.rows.members import ShardMember
from services.kernel.domain import WorkloadSpec
from tests.unit.decision.decide.test_outcomes import NOW, ORIGIN, STEP_S

H100 = {"name": "h100", "target": "Deployment/h100", "gpu_type": "H100", "gpus_per_replica": 2}
L4 = {"name": "l4", "target": "Deployment/l4", "gpu_type": "L4", "capacity_per_replica": 5.0}
HOURS = STEP_S / 3600


def mixed(second: str = "L4") -> ShardMember:
    """An H100 replica of 2 GPUs at 4 dollars each, and one of half its worth at 1 dollar."""
    spec = WorkloadSpec.model_validate(
        {
            "target": "Deployment/h100",
            "gpus_per_replica": 2,
            "price_usd_per_gpu_hour": 4.0,
            "demand": "request_rate_rps",
            "indicators": [{"name": "request_rate_rps", "level": 1}],
            "capacity": {"per_replica": 10.0},
            "variants": [
                H100 | {"price_usd_per_gpu_hour": 4.0},
                L4 | {"price_usd_per_gpu_hour": 1.0, "gpu_type": second},
            ],
        }
    )
    return ShardMember(1, "demo", "w", STEP_S, spec)


def seen(after_s: float, h100: int, l4: int, starting: int = 0) -> Any:
    """A snapshot so long after the step began; `starting` replicas are of the second variant."""
    return {
        "observed_at": ORIGIN + timedelta(seconds=after_s),
        "ready_replicas": h100 + l4 // 2,
        "starting_replicas": 0,
        "variants": {
            "h100": {"ready": h100, "starting": 0},
            "l4": {"ready": l4, "starting": starting},
        },
    }


def before_variants(after_s: float, ready: int) -> Any:
    """A snapshot that does not tell variants apart."""
    return seen(after_s, ready, 0) | {"variants": None}


def outcomes_of(*states: Any, one: ShardMember | None = None) -> WorkloadOutcomes:
    demand = {1: (np.array([ORIGIN.timestamp()]), np.array([10.0]))}
    rows = ShardRows(demand=demand, states={1: list(states)})
    return finished_outcomes(one or mixed(), rows, set(), ORIGIN, NOW)


def cost_of(*states: Any) -> float:
    (outcome,) = outcomes_of(*states).outcomes.values()
    return outcome.cost_usd


def test_a_mix_that_changes_within_a_step_costs_what_each_kind_held() -> None:
    """Two thirds of the step 3 H100 replicas, then 6 L4: no one price is that of both."""
    result = outcomes_of(seen(0, 3, 0), seen(200, 0, 6))
    (outcome,) = result.outcomes.values()
    assert outcome.cost_usd == pytest.approx(HOURS * (2 / 3 * 3 * 2 * 4.0 + 1 / 3 * 6 * 1.0))
    assert outcome.gpu_hours == pytest.approx(HOURS * (2 / 3 * 3 * 2 + 1 / 3 * 6))
    assert result.gpu_hours == pytest.approx({"H100": HOURS * 4, "L4": HOURS * 2})
    assert result.rows[0][8:10] == (outcome.gpu_hours, outcome.cost_usd)


def test_a_mix_that_ends_within_a_step_costs_until_then() -> None:
    """Nothing that runs at the end makes the L4 before it no H100."""
    assert cost_of(seen(0, 0, 6), seen(150, 0, 0)) == pytest.approx(HOURS * 6 * 1.0 / 2)


def test_what_is_worth_less_than_one_reference_replica_costs_all_the_same() -> None:
    """One L4 is worth half a reference replica, of which there is none whole."""
    assert cost_of(seen(0, 0, 1)) == pytest.approx(HOURS * 1.0)
    assert cost_of(seen(0, 0, 0, starting=1)) == pytest.approx(HOURS * 1.0)


def test_what_is_known_of_no_variant_costs_what_the_reference_does() -> None:
    assert cost_of(before_variants(0, 3)) == pytest.approx(HOURS * 3 * 2 * 4.0)
    halves = cost_of(before_variants(0, 3), seen(150, 0, 4))
    assert halves == pytest.approx(HOURS * (3 * 2 * 4.0 + 4 * 1.0) / 2)


def test_variants_of_one_gpu_type_are_summed() -> None:
    held = mix_cost(mixed("H100").spec, [seen(0, 1, 2)], ORIGIN.timestamp(), NOW.timestamp())
    assert held.hours_by_type == pytest.approx({"H100": HOURS * 4})
    assert held.cost_usd == pytest.approx(HOURS * (2 * 4.0 + 2 * 1.0))
