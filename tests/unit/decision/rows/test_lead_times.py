"""Each kind of replica has a lead time of its own, learned from its own pods."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from services.decision.rows import lead_times
from services.decision.rows.inputs import ShardRows, lead_time_of, scopes_of, variants_of
from services.decision.rows.lead_times import Known
from services.decision.rows.members import ShardMember
from services.kernel.domain import WorkloadSpec

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")

NOW = datetime(2026, 1, 6, 12, 5, tzinfo=UTC)


def variant(name: str, gpu_type: str, **changes: Any) -> dict[str, Any]:
    return {"name": name, "target": f"Deployment/{name}", "gpu_type": gpu_type} | changes


def spec_of(*variants: dict[str, Any]) -> WorkloadSpec:
    given = {
        "target": "Deployment/h100",
        "gpu_type": "H100",
        "demand": "request_rate_rps",
        "indicators": [{"name": "request_rate_rps", "level": 1}],
        "capacity": {"per_replica": 10.0},
        "lead_time": {"median_s": 180.0, "sigma": 0.3},
        "max_replicas": 40,
        "variants": list(variants),
    }
    return WorkloadSpec.model_validate(given)


MIXED = spec_of(variant("h100", "H100"), variant("l4", "L4", max_replicas=8))


def start(gpu_type: str, seconds: float, workload: int = 1) -> dict[str, Any]:
    requested = NOW - timedelta(hours=1)
    return {
        "workload_id": workload, "gpu_type": gpu_type, "requested_at": requested,
        "ready_at": requested + timedelta(seconds=seconds), "gone_at": None,
    }  # fmt: skip


STARTS: Any = [start("H100", 60.0 + i % 3) for i in range(60)] + [
    start("L4", 900.0 + i % 3) for i in range(60)
]


def medians(fitted: dict[str, Any], starts: Any = ()) -> dict[str, float]:
    found = lead_times.of_variants(1, MIXED, Known(fitted, starts, NOW))
    return {name: float(np.median(draws)) for name, draws in found.items()}


def state(**variants: dict[str, Any]) -> Any:
    full = {
        name: {"spec": 2, "ready": 2, "pending": 0, "start_ages_s": [], "held": ""} | given
        for name, given in variants.items()
    }
    return {"observed_at": NOW, "variants": full}


def test_each_variant_learns_from_its_own_starts() -> None:
    assert medians({}) == {"h100": pytest.approx(180.0, rel=0.02), "l4": pytest.approx(180.0, 0.02)}
    found = medians({}, STARTS)
    assert found["h100"] < 100.0
    assert found["l4"] > 500.0


def test_starts_that_hang_do_not_put_off_when_they_count_as_stuck() -> None:
    hanging = [start("L4", 0.0) | {"ready_at": None} for _ in range(40)]
    alone, beside = (
        lead_times.stuck_ages_s(1, MIXED, Known({}, starts, NOW))
        for starts in (STARTS, [*STARTS, *hanging])
    )
    assert beside == alone
    assert alone["h100"] < 700.0
    assert 1_000.0 < alone["l4"] < 12_000.0


def test_what_was_fitted_of_the_variant_comes_first_then_that_of_its_type() -> None:
    own, of_type = np.full(64, 700.0), np.full(64, 400.0)
    found = medians({"workload:1/L4": own, "gpu_type:L4": of_type, "gpu_type:H100": of_type})
    assert found == {"h100": pytest.approx(400.0, 0.02), "l4": pytest.approx(700.0, 0.02)}
    # what was fitted of the whole mixes them, and tells of none
    assert medians({"workload:1": own})["l4"] == pytest.approx(180.0, 0.02)


def test_all_that_may_be_used_is_asked_for() -> None:
    member = ShardMember(1, "demo", "w", 300, MIXED)
    plain = ShardMember(2, "demo", "x", 300, spec_of())
    own = {
        "workload:1", "workload:1/H100", "workload:1/L4", "gpu_type:H100", "gpu_type:L4",
        "workload:2",
    }  # fmt: skip
    causes = ("warm", "cold", "restored", "short", "long")
    assert set(scopes_of([member, plain])) == own | {f"{s}#{c}" for s in own for c in causes}


@pytest.mark.parametrize(
    ("seen", "slowest"),
    [
        (state(h100={}, l4={}), "l4"),
        (state(h100={}, l4={"spec": 8}), "h100"),
        (state(h100={}, l4={"spec": 8, "start_ages_s": [20.0]}), "l4"),
        (state(h100={}, l4={"held": "HorizontalPodAutoscaler/x scales it"}), "h100"),
        (state(h100={}, l4={"schedulable_gpus": 0}), "h100"),
        (state(h100={"held": "x"}, l4={"held": "x"}), "l4"),
    ],
)
def test_the_total_is_planned_with_the_slowest_that_can_be_given_replicas(
    seen: Any, slowest: str
) -> None:
    member = ShardMember(1, "demo", "w", 300, MIXED)
    rows = ShardRows(starts={1: STARTS}, states={1: [seen]})
    mix = variants_of(member, rows, NOW)
    own = {v.name: v.lead_s for v in mix.variants.states}
    planned = float(np.median(lead_time_of(member, rows, NOW, mix)))
    assert planned == pytest.approx(own[slowest], rel=1e-4)
    assert own["l4"] > 5 * own["h100"]  # type: ignore[operator]


def test_a_workload_of_one_kind_is_planned_as_before() -> None:
    member = ShardMember(1, "demo", "w", 300, spec_of())
    rows = ShardRows(starts={1: STARTS}, lead_time_s={"workload:1": np.full(64, 500.0)})
    known = Known(rows.lead_time_s, STARTS, NOW)
    expected = lead_times.of_workload(1, member.spec, known)
    np.testing.assert_array_equal(lead_time_of(member, rows, NOW), expected)


def test_a_fit_takes_replicas_on_two_types_for_two() -> None:
    from services.decision.beliefs.fit_lead_time import collect_starts

    plain: Any = [start("H100", 120.0, workload=2) for _ in range(5)]
    found = collect_starts([*STARTS, *plain], NOW)
    assert found is not None
    assert found.scopes == (
        ("workload:1/H100",),
        ("workload:1/L4", "workload:1"),
        ("workload:2",),
    )
    assert found.gpu_types == ("H100", "L4")
    by_owner = [found.data.seconds[found.data.workload == i].mean() for i in range(3)]
    assert by_owner == [pytest.approx(61.0), pytest.approx(901.0), pytest.approx(120.0)]
