"""Changes of a policy in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.admin.controls.schemas import PolicyValues, PolicyView
from services.admin.controls.wording import OWN, changes, epsilon_field, labels, shown, stale
from services.admin.workloads.schemas import ReplicaView, RiskView, WorkloadView

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


def policy(risk_kind: str = "TimeFraction", **overrides: Any) -> PolicyView:
    """A policy of 2 to 24 replicas, changed an hour ago."""
    values = PolicyValues(
        mode="Auto",
        min_replicas=2,
        max_replicas=24,
        epsilon=0.01,
        price_usd_per_gpu_hour=2.5,
        fallback_replicas=None,
    )
    return PolicyView(
        cluster="default",
        namespace="prod",
        workload="llama",
        in_force=values,
        overrides=overrides,
        is_in_force=True,
        sla_class="gold",
        risk_kind=risk_kind,
        risk_window_s=86400.0,
        behavior={},
        spec_version=1,
        version=1,
        updated_by="ops (0123456789)",
        updated_at=NOW - timedelta(hours=3),
    )


def workload(replicas: int) -> WorkloadView:
    """The workload with so many replicas in its target's spec."""
    return WorkloadView.model_construct(
        replicas=ReplicaView(observed_at=NOW, spec=replicas, ready=replicas, starting=0, pending=0),
        risk=RiskView.model_construct(),
    )


@pytest.mark.parametrize(
    ("wanted", "means"),
    [
        ({"epsilon": 0.001}, "Stricter: more replicas are kept."),
        ({"epsilon": 0.1}, "Looser: fewer replicas are kept."),
        ({"min_replicas": 8}, "There are 5 now: the next decision asks for 8 at least."),
        ({"max_replicas": 4}, "There are 5 now: the next decision goes down towards 4."),
        ({"min_replicas": 0}, "It may go down to none: the first request then waits for a start."),
        ({"max_replicas": 30}, ""),
        ({"fallback_replicas": 3}, ""),
        ({"price_usd_per_gpu_hour": 3.0}, "Costs are reckoned with it from the next decision on."),
        ({"mode": "Advisory"}, "Harmony computes and shows, and changes nothing, "
         "from the operator's next pass on."),
    ],
)  # fmt: skip
def test_a_change_says_what_follows(wanted: dict[str, Any], means: str) -> None:
    (change,) = changes(policy(), wanted, workload(5))
    assert change.means == means


def test_what_is_taken_back_is_the_objects_own_and_what_stays_is_left_out() -> None:
    (change,) = changes(policy(max_replicas=24, min_replicas=2), {"min_replicas": 2}, workload(5))
    assert (change.before, change.after) == ("24", OWN)


@pytest.mark.parametrize(
    ("kind", "promised"),
    [
        ("TimeFraction", "time out of SLA at most"),
        ("DemandFraction", "requests out of SLA at most"),
        ("AnyInWindow", "windows with any moment out of SLA at most"),
    ],
)
def test_the_promise_is_named_by_what_it_is_about(kind: str, promised: str) -> None:
    (change,) = changes(policy(kind), {"epsilon": 0.1}, workload(5))
    assert change.label == labels(policy(kind))["epsilon"] == f"Promise: {promised}"
    assert epsilon_field(policy(kind)) == f"Promise, % of {promised}"


def test_values_read_as_people_write_them() -> None:
    assert shown("epsilon", 0.01) == "1 %"
    assert shown("price_usd_per_gpu_hour", 2.5) == "$2.50"
    assert shown("fallback_replicas", None) == "–"


def test_who_was_slower_learns_who_was_faster_and_when() -> None:
    message = stale(policy(), NOW).message
    assert "prod/llama" in message
    assert "(ops (0123456789), 3 h ago)" in message
