"""How the fleet is sorted and filtered, and what its address keeps."""

from __future__ import annotations

from typing import Any

from services.admin.fleet.page import FleetQuery, arrange
from services.admin.workloads.schemas import RiskView, WorkloadView


def view(name: str, **changes: Any) -> WorkloadView:
    measured, budget = changes.pop("measured", None), changes.pop("budget", None)
    risk = RiskView(
        kind="TimeFraction",
        target=0.01,
        measured=measured,
        measured_window_s=86400.0,
        n_measured_steps=10,
        budget_remaining=budget,
    )
    blank: dict[str, Any] = {
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
    view("a", measured=0.002, budget=0.9, demand=5.0),
    view("b", measured=None, budget=None, demand=None),
    view("c", measured=0.03, budget=-0.2, demand=1.0, is_paused=True, mode="Approval"),
]


def names(**query: Any) -> str:
    return "".join(item.name for item in arrange(FLEET, FleetQuery(**query)))


def test_what_is_unknown_comes_last_either_way() -> None:
    assert names(sort="measured") == "cab"
    assert names(sort="measured", is_reversed=True) == "acb"
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
