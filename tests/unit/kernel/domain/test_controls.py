"""Controls of a workload: what they hold, for how long, and how they change its spec."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from services.kernel.domain import CapacitySpec, IndicatorSpec, WorkloadSpec
from services.kernel.domain.controls import (
    Controls,
    Freeze,
    Hold,
    PauseControl,
    PolicyControl,
    held_until,
    pause_changes,
    problem_of,
    with_policy,
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
    assert held_until(PauseControl(), [freeze], NOW) == [Hold("Both", None), Hold("ScaleIn", LATER)]
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
    assert with_policy(SPEC, Controls()) is SPEC
    changed = with_policy(SPEC, Controls(policy=PolicyControl(epsilon=0.05, max_replicas=20)))
    assert (changed.sla.epsilon, changed.max_replicas) == (0.05, 20)
    assert changed.min_replicas == SPEC.min_replicas
    with pytest.raises(ValidationError) as caught:
        with_policy(SPEC, Controls(policy=PolicyControl(min_replicas=11)))
    assert "min_replicas" in problem_of(caught.value)


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
    changed = with_policy(spec, Controls(policy=policy))
    assert (changed.price_usd_per_gpu_hour, changed.max_replicas) == (2.5, 20)
    assert with_policy(SPEC, Controls(policy=policy)).price_usd_per_gpu_hour == 9.0
