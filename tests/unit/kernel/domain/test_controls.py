"""Controls of a workload: what they hold, for how long, and how they change its spec."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.kernel.domain import CapacitySpec, IndicatorSpec, ScheduleSpec, WorkloadSpec
from services.kernel.domain.controls import (
    Controls,
    Freeze,
    Hold,
    PauseControl,
    PolicyControl,
    held_until,
    lay_over,
    pause_changes,
)

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
SPEC = WorkloadSpec(
    target="Deployment/llama",
    indicators=(IndicatorSpec(name="load_rps", level=1),),
    demand="load_rps",
    capacity=CapacitySpec(per_replica=100.0),
    max_replicas=10,
)


def test_a_pause_ends_and_a_freeze_covers_what_it_names() -> None:
    assert PauseControl().is_active(LATER)
    assert not PauseControl(until_at=NOW).is_active(NOW)
    freeze = Freeze(namespace="shop", from_at=NOW, until_at=LATER)
    assert freeze.covers("shop", "llama", NOW)
    assert not freeze.covers("shop", "llama", LATER)
    assert not freeze.covers("other", "llama", NOW)


def test_a_pause_and_freezes_hold_together() -> None:
    freeze = Freeze(direction="ScaleDown", from_at=NOW, until_at=LATER)
    assert held_until(PauseControl(), [freeze], NOW) == [
        Hold("Both", None, "the API"),
        Hold("ScaleIn", LATER, "a freeze"),
    ]
    assert held_until(PauseControl(until_at=NOW), [], NOW) == []


def test_the_longest_hold_counts() -> None:
    held = [Hold("Both", NOW), Hold("Both", LATER), Hold("ScaleIn", NOW), Hold("ScaleOut", NOW)]
    assert pause_changes(SPEC, held) == {
        "paused": True,
        "paused_until": LATER.isoformat(),
        "scale_out_only": True,
        "scale_in_only": True,
    }
    assert pause_changes(SPEC, [Hold("Both", LATER), Hold("Both", None)])["paused_until"] is None
    endless = SPEC.model_copy(update={"paused": True})
    assert pause_changes(endless, [Hold("Both", LATER)]) == {}
    until = {"paused": True, "paused_until": (LATER + timedelta(hours=1)).isoformat()}
    assert pause_changes(SPEC.model_copy(update=until), [Hold("Both", LATER)]) == until


def test_a_policy_takes_the_place_of_the_fields_that_it_names() -> None:
    assert lay_over(SPEC, Controls()).spec is SPEC
    laid = lay_over(SPEC, Controls(policy=PolicyControl(epsilon=0.05, max_replicas=20)))
    assert (laid.spec.sla.epsilon, laid.spec.max_replicas, laid.left_out) == (0.05, 20, {})
    assert laid.spec.min_replicas == SPEC.min_replicas


@pytest.mark.parametrize(
    ("own", "low", "high", "bounds", "left_out"),
    [
        # of the object's bounds, and those that were set: what holds, and what is left out
        ((1, 10), 11, None, (1, 10), ["min_replicas=11 must be <= max_replicas=10; the latter"]),
        ((5, 10), None, 4, (5, 10), ["min_replicas=5 must be <= max_replicas=4; the former"]),
        ((1, 10), 20, 30, (20, 30), []),
        ((5, 10), 8, 4, (8, 10), ["min_replicas=5 must be <= max_replicas=4; the former"]),
        ((1, 10), 8, 4, (1, 4), ["min_replicas=8 must be <= max_replicas=4"]),
        ((5, 10), 12, 4, (5, 10), ["min_replicas=5 must be <= max", "min_replicas=12 must be <="]),
    ],
)
def test_a_bound_that_does_not_fit_is_left_out_by_itself(
    own: tuple[int, int],
    low: int | None,
    high: int | None,
    bounds: tuple[int, int],
    left_out: list[str],
) -> None:
    """Whoever set the mode to Advisory, or a freeze by schedule, must not lose that to a bound."""
    spec = SPEC.model_copy(update={"min_replicas": own[0], "max_replicas": own[1], "mode": "Auto"})
    night = ScheduleSpec(name="night", start_time="22:00", end_time="06:00", freeze="Both")
    policy = PolicyControl(
        mode="Advisory", min_replicas=low, max_replicas=high, epsilon=0.05, fallback_replicas=3
    )
    laid = lay_over(spec, Controls(policy=policy, schedules=(night,)))
    assert (laid.spec.min_replicas, laid.spec.max_replicas) == bounds
    assert [
        problem.startswith(words)
        for problem, words in zip(laid.left_out.values(), left_out, strict=True)
    ] == [True] * len(left_out)
    assert (laid.spec.mode, laid.spec.sla.epsilon, laid.spec.fallback_replicas) == (
        "Advisory", 0.05, 3,
    )  # fmt: skip
    assert laid.spec.schedules == (night,)
    assert WorkloadSpec.model_validate(laid.spec.model_dump()) == laid.spec


def test_pools_keep_their_own_prices() -> None:
    pool = {"name": "all", "target": "Deployment/a", "gpu_type": "L4", "loads": ("load_rps",)}
    other = {**pool, "name": "more", "target": "Deployment/b", "loads": ("tokens",)}
    loads = {
        "indicators": [*SPEC.model_dump()["indicators"], {"name": "tokens", "level": 1}],
        "capacity": {
            "per_replica": 100.0,
            "also_bound_by": [{"indicator": "tokens", "per_replica": 9.0}],
        },
    }
    spec = WorkloadSpec.model_validate(SPEC.model_dump() | loads | {"pools": [pool, other]})
    policy = PolicyControl(price_usd_per_gpu_hour=9.0, max_replicas=20)
    laid = lay_over(spec, Controls(policy=policy))
    assert (laid.spec.price_usd_per_gpu_hour, laid.spec.max_replicas) == (2.5, 20)
    assert "the pools all, more have a price each" in laid.left_out["price_usd_per_gpu_hour"]
    assert lay_over(SPEC, Controls(policy=policy)).spec.price_usd_per_gpu_hour == 9.0
