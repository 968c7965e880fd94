"""Rows become the decider's values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from decider import RiskState, SpotReplicas, learn_interruptions
from services.decision.rows import translate
from services.kernel.domain import ScheduleSpec, WorkloadSpec
from services.kernel.domain.path_bytes import pack_halves
from services.kernel.domain.schedules import is_in_force
from services.operator.cluster.pods import PodState, count_replicas

NOW = datetime(2026, 1, 6, 12, 5, tzinfo=UTC)  # a Tuesday


def make_spec(**changes: Any) -> WorkloadSpec:
    base: dict[str, Any] = {
        "target": "Deployment/w",
        "demand": "request_rate_rps",
        "indicators": [{"name": "request_rate_rps", "level": 1}],
        "capacity": {"per_replica": 10.0},
        "lead_time": {"median_s": 60.0, "sigma": 0.3},
    }
    return WorkloadSpec.model_validate(base | changes)


def in_force(start: str, end: str, days: tuple[int, ...], now: datetime, zone: str = "UTC") -> bool:
    schedule = ScheduleSpec(
        name="s", timezone=zone, days_of_week=days, start_time=start, end_time=end
    )
    return is_in_force(schedule, now)


@pytest.mark.parametrize(
    ("start", "end", "days", "zone", "expected"),
    [
        ("12:00", "13:00", (1,), "UTC", True),
        ("12:05", "12:06", (1,), "UTC", True),
        ("12:00", "12:05", (1,), "UTC", False),
        ("12:00", "13:00", (0,), "UTC", False),
        ("13:00", "14:00", (1,), "Europe/Berlin", True),
        ("22:00", "13:00", (0,), "UTC", True),  # began on Monday evening
        ("22:00", "13:00", (1,), "UTC", False),
        ("12:00", "12:00", (1,), "UTC", True),  # a whole day
        ("12:00", "13:00", (1,), "Nowhere/Town", False),
    ],
)
def test_schedules(start: str, end: str, days: tuple[int, ...], zone: str, expected: bool) -> None:
    assert in_force(start, end, days, NOW, zone) is expected


def test_the_strictest_of_several_schedules_wins() -> None:
    both = [
        {"name": "a", "start_time": "00:00", "end_time": "23:59", "min_replicas": 2},
        {"name": "b", "start_time": "00:00", "end_time": "23:59", "min_replicas": 4,
         "max_replicas": 9, "freeze": "ScaleDown"},
    ]  # fmt: skip
    control = translate.to_control(make_spec(schedules=both), NOW)
    assert (control.schedule_min, control.schedule_max) == (4, 9)
    assert control.freeze == "ScaleDown"
    assert control.schedule == "a, b"


@pytest.mark.parametrize(
    ("fields", "is_paused", "until"),
    [
        ({}, False, None),
        ({"paused": True}, True, None),
        ({"paused_until": "2026-01-06T13:00:00+00:00"}, False, 3300.0),
        ({"paused": True, "paused_until": "2026-01-06T13:00:00+00:00"}, False, 3300.0),
        ({"paused_until": "tomorrow"}, True, None),
        ({"paused_until": "2026-01-06T13:00:00"}, True, None),  # no zone: no end
    ],
)
def test_pauses(fields: dict[str, Any], is_paused: bool, until: float | None) -> None:
    control = translate.to_control(make_spec(**fields), NOW)
    assert control.is_paused is is_paused
    expected = None if until is None else NOW.timestamp() + until
    assert control.paused_until_s == expected


def state_row(**changes: Any) -> Any:
    row = {"spec_replicas": 6, "ready_replicas": 3, "starting_replicas": 2, "pending_replicas": 1,
           "start_ages_s": [5.0, 40.0, 12.0], "schedulable_gpus": 4}  # fmt: skip
    return row | changes


def test_the_last_starts_are_the_ones_without_a_node() -> None:
    """As the operator writes them; one that waits for a node may have waited longest."""
    state = translate.to_replica_state(state_row())
    assert state.starting_age_s == (40.0, 5.0)
    assert state.pending_age_s == (12.0,)
    assert translate.aged(state, 7.0).starting_age_s == (47.0, 12.0)
    seen = count_replicas([_pod("a", 20, "n1"), _pod("b", 900, ""), _pod("c", 30, "n2")], NOW)
    row = state_row(
        starting_replicas=seen.starting,
        pending_replicas=seen.pending,
        start_ages_s=list(seen.start_ages_s),
    )
    state = translate.to_replica_state(row)
    assert (state.starting_age_s, state.pending_age_s) == ((30.0, 20.0), (900.0,))


def _pod(name: str, age_s: float, node: str) -> PodState:
    created_at = NOW - timedelta(seconds=age_s)
    return PodState(name, "serving", name, node, (), created_at, None, is_leaving=False)


def test_replicas_that_are_about_to_go_are_neither_asked_for_nor_there() -> None:
    state = translate.to_replica_state(state_row(leaving_replicas=2))
    assert (state.spec, state.ready) == (4, 1)
    assert state.spot is None
    lost = translate.to_replica_state(state_row(leaving_replicas=9))
    assert (lost.spec, lost.ready) == (0, 0)


def test_spot_nodes_of_a_part_count_too() -> None:
    one_kind = state_row(spot_replicas=None) | {"variants": None}
    assert not translate.is_on_spot(one_kind)
    assert translate.is_on_spot(one_kind | {"spot_replicas": 1})
    parts = {"h100": {"ready": 1}, "l4": {"ready": 0, "spot": {"only": True}}}
    assert translate.is_on_spot(one_kind | {"variants": parts})
    assert not translate.is_on_spot(one_kind | {"variants": {"h100": {"ready": 1}}})


def test_replicas_on_spot_nodes_come_with_what_is_believed_of_these() -> None:
    row = state_row(spot_replicas=2, spot_nodes=1, leaving_replicas=None)
    state = translate.to_replica_state(row, learn_interruptions(3.0, 150.0))
    assert state.spot == SpotReplicas(2, 1, 3.5, 160.0)
    assert translate.aged(state, 7.0).spot == state.spot
    prior = translate.to_replica_state(row).spot
    assert prior == SpotReplicas(2, 1, 0.5, 10.0)
    fewer = translate.to_replica_state(row | {"leaving_replicas": 2, "spot_nodes": 2}).spot
    assert fewer == SpotReplicas(1, 1, 0.5, 10.0)


def test_risk_state_round_trip_and_unknown_fields() -> None:
    state = RiskState(0.3, 1.5, 40.0, 2.5)
    stored = {"log_level": 0.3, "spent_steps": 1.5, "observed_steps": 40.0, "log_multiplier": 2.5}
    assert translate.to_risk_state(stored | {"of_a_later_version": "x"}) == state
    assert translate.to_risk_state(None) == RiskState()
    assert translate.to_risk_state({"log_multiplier": None}) == RiskState()


def test_a_ledger_in_another_unit_is_begun_anew() -> None:
    measured = {"measured_missed": 5.0, "measured_total": 900.0, "measured_steps": 9.0}
    stored = {"spent_steps": 1.5, "measured_unit": "requests"} | measured
    whole = RiskState(spent_steps=1.5, **measured)
    assert translate.to_risk_state(stored) == whole
    assert translate.to_risk_state(stored, "requests") == whole
    assert translate.to_risk_state(stored, "steps") == RiskState(spent_steps=1.5)
    assert translate.to_risk_state(measured, "steps") == RiskState(**measured)


def test_a_promise_of_requests_counts_requests_and_one_of_time_steps() -> None:
    kinds = ("TimeFraction", "DemandFraction", "AnyInWindow")
    found = [translate.measured_unit(make_spec(sla={"kind": k})) for k in kinds]
    assert found == ["steps", "requests", "steps"]


def start(ready_after_s: float | None, gone_after_s: float | None = None) -> Any:
    requested = NOW - timedelta(seconds=600)
    after = {
        name: None if s is None else requested + timedelta(seconds=s)
        for name, s in (("ready_at", ready_after_s), ("gone_at", gone_after_s))
    }
    return {"requested_at": requested, **after}


def test_paths_are_the_same_compressed_or_as_releases_before_wrote_them() -> None:
    halves = np.random.default_rng(7).random((20, 3)).astype("<f2")
    raw: Any = {"n_horizon": 3, "paths": halves.tobytes(), "n_paths": 20, "path_scale": 7.5,
                "quantile_levels": [], "quantiles": [], "rung": "model"}  # fmt: skip
    packed: Any = raw | {"paths": None, "packed_paths": pack_halves(halves)}
    np.testing.assert_array_equal(translate.to_paths(packed), translate.to_paths(raw))
    assert translate.forecast_rung(packed) == translate.forecast_rung(raw) == "model"
    assert not translate.has_paths(translate.without_numbers(packed, "it failed"))


@pytest.mark.parametrize(
    ("stored", "is_used"),
    [({}, True), ({"measured_by": None}, True), ({"measured_by": "another"}, False)],
)
def test_a_forecast_of_other_loads_has_no_numbers(stored: dict[str, Any], is_used: bool) -> None:
    row: Any = {"rung": "model", "reason": "", "n_paths": 0, "quantile_levels": [0.5],
                "quantiles": [[1.0]]} | stored  # fmt: skip
    found = translate.of_present_loads(row, make_spec())
    assert translate.forecast_rung(found) == ("model" if is_used else "")
    assert ("another query or unit" in found["reason"]) is not is_used


def test_paths_from_quantiles_follow_them() -> None:
    row: Any = {"n_horizon": 2, "paths": None, "n_paths": 0, "path_scale": None,
                "quantile_levels": [0.1, 0.5, 0.9],
                "quantiles": [[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]]}  # fmt: skip
    paths = translate.to_paths(row)
    assert paths.shape == (100, 2)
    np.testing.assert_allclose(np.median(paths, axis=0), [2.0, 20.0])
    assert translate.to_paths(row | {"quantile_levels": [], "quantiles": []}).sum() == 0


@pytest.mark.parametrize(
    ("sla", "weight"),
    [
        ({}, 2.0),
        ({"sla_class": "gold"}, 4.0),
        ({"sla_class": "silver"}, 2.0),
        ({"sla_class": "bronze"}, 1.0),
        ({"sla_class": "bronze", "priority": 400}, 8.0),
        ({"sla_class": "platinum", "priority": 25}, 0.5),
    ],
)
def test_classes_weigh_by_their_priority(sla: dict[str, Any], weight: float) -> None:
    """Specs without a priority, as they were stored before, keep the weights of their names."""
    assert translate.to_sla(make_spec(sla=sla)).class_weight == weight


@pytest.mark.parametrize(
    "changes",
    [
        {"quantile_levels": [], "quantiles": []},
        {"n_horizon": 3},
        {"quantile_levels": [0.9, 0.5, 0.1]},
        {"quantile_levels": [0.1, 0.9]},
    ],
)
def test_a_broken_quantile_function_is_none(changes: dict[str, Any]) -> None:
    row = {"n_horizon": 2, "quantile_levels": [0.1, 0.5, 0.9]}
    row["quantiles"] = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
    whole = translate.to_quantiles(row)
    assert whole is not None
    assert whole.values.shape == (3, 2)
    assert translate.to_quantiles(row | changes) is None
