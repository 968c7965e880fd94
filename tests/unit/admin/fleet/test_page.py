"""How the fleet is sorted and filtered, and what its address keeps."""

from __future__ import annotations

from typing import Any

import pytest

from services.admin.fleet.page import FleetQuery, arrange, fleet_totals
from services.admin.workloads.schemas import RiskView, WorkloadView
from services.admin.workloads.translate import standing_of


def view(name: str, **changes: Any) -> WorkloadView:
    ratio, budget = changes.pop("ratio", None), changes.pop("budget", None)
    source = changes.pop("source", "believed" if ratio is not None else None)
    risk = RiskView(
        kind="TimeFraction",
        target=0.01,
        source=source,
        violation_ratio=ratio,
        measured_ratio=ratio if source == "measured" else None,
        window_s=86400.0,
        n_steps=changes.pop("n_steps", 10),
        budget_remaining=budget,
    )
    blank: dict[str, Any] = {
        "cluster": "default",
        "namespace": "prod",
        "name": name,
        "mode": "Auto",
        "managed_by": "kubernetes",
        "is_active": True,
        "is_paused": False,
        "gpu_type": "H100",
        "gpus_per_replica": 1,
        "min_replicas": 1,
        "max_replicas": 9,
        "price_usd_per_gpu_hour": 2.0,
        "step_s": 60,
        "demand_indicator": "load_rps",
        "demand_unit": "requests/s",
        "capacity_per_replica": 10.0,
        "risk": risk,
        "spec_version": 1,
    }
    return WorkloadView.model_validate(blank | changes)


FLEET = [
    view("a", ratio=0.002, budget=0.9, demand=5.0),
    view("b", ratio=None, budget=None, demand=None),
    view(
        "c", ratio=0.03, source="measured", budget=-0.2, demand=1.0, is_paused=True, mode="Approval"
    ),
]


def names(**query: Any) -> str:
    return "".join(item.name for item in arrange(FLEET, FleetQuery(**query)))


def test_what_is_unknown_comes_last_either_way() -> None:
    assert names(sort="violation") == "cab"
    assert names(sort="violation", is_reversed=True) == "acb"
    assert names(sort="budget") == "cab"
    assert names(sort="budget", is_reversed=True) == "acb"
    assert names(sort="demand") == "acb"
    assert names(is_reversed=True) == "cba"


def test_filters_by_mode_and_state() -> None:
    assert names(mode="Approval") == "c"
    assert names(state="over") == "c"
    assert names(state="paused", mode="Auto") == ""
    assert names() == "abc"


def test_an_address_keeps_what_was_asked_for() -> None:
    query = FleetQuery(search="a b&c", state="over", sort="cost")
    assert query.address() == "?search=a+b%26c&state=over&sort=cost"
    assert query.sorted_by("cost") == "?search=a+b%26c&state=over&sort=cost&reverse=true"
    assert query.sorted_by("name") == "?search=a+b%26c&state=over"
    assert FleetQuery().address() == ""
    assert (query.direction("cost"), query.direction("name")) == ("descending", None)
    assert FleetQuery(sort="budget").direction("budget") == "ascending"


def test_totals_keep_what_is_measured_and_what_is_believed_apart() -> None:
    more = view("d", ratio=0.01, source="measured", n_steps=30)
    totals = fleet_totals([standing_of(item) for item in (*FLEET, more)])
    assert (totals["measured"], totals["n_measured"]) == (pytest.approx(0.015), 2)
    assert (totals["believed"], totals["n_believed"]) == (pytest.approx(0.002), 1)
    assert totals["n_over"] == 1
    nothing = fleet_totals([standing_of(FLEET[1])])
    assert (nothing["measured"], nothing["believed"]) == (None, None)
    assert (nothing["n_measured"], nothing["n_believed"]) == (0, 0)


def test_totals_count_time_and_not_steps() -> None:
    """A day of each: the one of steps of a minute has five times as many."""
    slow = view("d", ratio=0.2, step_s=300, n_steps=288)
    fast = view("e", ratio=0.0, step_s=60, n_steps=1440)
    assert fleet_totals([standing_of(slow), standing_of(fast)])["believed"] == pytest.approx(0.1)
    measured = [view(v.name, ratio=v.risk.violation_ratio, source="measured", step_s=v.step_s,
                     n_steps=v.risk.n_steps) for v in (slow, fast)]  # fmt: skip
    totals = fleet_totals([standing_of(item) for item in measured])
    assert totals["measured"] == pytest.approx(0.1)


def test_of_those_that_left_totals_keep_the_cost_only() -> None:
    there = view("d", ratio=0.01, cost_usd=3.0)
    gone = view("e", ratio=0.5, cost_usd=2.0, is_active=False, is_paused=True)
    totals = fleet_totals([standing_of(item) for item in (there, gone)])
    assert (totals["cost_usd"], totals["left_usd"], totals["n_left"]) == (5.0, 2.0, 1)
    assert (totals["n_workloads"], totals["n_over"], totals["n_paused"]) == (1, 0, 0)
    unknown = standing_of(view("f", is_active=False))
    nothing = fleet_totals([unknown])
    assert (nothing["cost_usd"], nothing["left_usd"], nothing["n_left"]) == (None, None, 0)
    assert FleetQuery().takes(standing_of(gone))
    assert not FleetQuery(state="paused").takes(standing_of(gone))
