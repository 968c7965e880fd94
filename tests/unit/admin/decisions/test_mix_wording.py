"""The mix of variants of a decision, in words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from services.admin.decisions import translate
from services.admin.decisions.mix_wording import PartWords, explain_mix, explain_parts

RECORD: dict[str, Any] = {
    "mix": {
        "variants": [
            {"name": "h100", "gpu_type": "H100", "current": 4, "desired": 1,
             "usd_per_hour_per_reference_replica": 4.0},
            {"name": "l4", "gpu_type": "L4", "current": 6, "desired": 6,
             "usd_per_hour_per_reference_replica": 2.0},
        ],
        "capacity_replicas": 4.0, "usd_per_hour": 10.0, "usd_per_hour_before": 22.0,
        "binding": "gpu_budget", "prices_usd_per_gpu_hour": {"H100": 1.5, "L4": 0.0},
        "detail": "",
    }
}  # fmt: skip


def test_every_variant_has_a_line_and_what_it_costs() -> None:
    assert explain_mix(RECORD) == (
        "h100 on H100: 4 → 1, $4.00 per hour for the capacity of a reference replica",
        "l4 on L4: 6, $2.00 per hour for the capacity of a reference replica",
        "$10.00 per hour together, $22.00 as it runs now.",
        "H100 is scarce: one GPU more would be worth $1.50 per hour.",
        "A GPU budget shapes it.",
    )


def test_what_is_on_spot_nodes_is_told_and_what_an_interruption_takes() -> None:
    spot = {
        "variants": [{"name": "l4", "replicas": 6, "per_node": 4, "hours_between": 4.8}],
        "held": 2,
    }
    (*_, l4, together, _, _) = explain_mix(RECORD)
    told = explain_mix({"mix": RECORD["mix"] | {"spot": spot}})
    assert told[1:5] == (
        l4,
        "6 l4 on spot nodes: an interruption takes 4, and comes about each 4.8 h.",
        "2 more reference replicas are held for interruptions.",
        together,
    )
    none = {"variants": [], "held": 0}
    assert explain_mix({"mix": RECORD["mix"] | {"spot": none}}) == explain_mix(RECORD)


def test_every_pool_has_a_line_and_what_they_come_to() -> None:
    summary = "3 prefill + 5 decode: 0.8 % of requests would miss; bound by decode"
    pools = [
        {"name": "prefill", "gpu_type": "H100", "current": 3, "desired": 3,
         "reason": "hold_within_risk"},
        {"name": "decode", "gpu_type": "A100", "current": 4, "desired": 5,
         "reason": "scale_up_risk"},
    ]  # fmt: skip
    words = explain_parts({"pools": {"summary": summary, "bound_by": "decode", "counts": pools}})
    assert words.title == "pools"
    assert words.lines == (
        "prefill on H100: 3, hold within risk",
        "decode on A100: 4 → 5, scale up risk",
        f"{summary}.",
    )
    assert explain_parts(RECORD) == PartWords("variants", explain_mix(RECORD))


@pytest.mark.parametrize(
    "record",
    [{}, {"mix": None}, {"mix": {}}, {"mix": {"variants": None}}, {"pools": None}, {"pools": {}}],
)
def test_what_is_absent_is_left_out(record: dict[str, Any]) -> None:
    assert explain_parts(record) == PartWords()


@pytest.mark.parametrize("variants", [None, [{"name": "l4", "gpu_type": "L4", "current": 0,
                                              "desired": 6}]])  # fmt: skip
def test_the_decision_resource_has_the_counts(variants: list[dict[str, Any]] | None) -> None:
    at = datetime(2026, 1, 5, tzinfo=UTC)
    row: Any = {
        "id": 1, "cluster": "default",
        "namespace": "demo", "name": "llama", "origin_at": at, "decided_at": at,
        "valid_until": at, "current_replicas": 2, "raw_replicas": 3, "desired_replicas": 3,
        "direction": "up", "reason": "scale_up_risk", "binding_constraint": "", "rung": "forecast",
        "risk_target": 0.01, "risk_estimated": None, "cost_delta_usd_per_h": 1.0,
        "forecast_id": 1, "policy_version": "harmony-1", "model_version": None,
        "forecast_rung": None, "forecast_reason": None, "explanation": {}, "variants": variants,
        "is_replayable": True, "workload_updated_at": at, "learned": None, "spec": {
            "target": "Deployment/llama", "demand": "load", "capacity": {"per_replica": 10.0},
            "indicators": [{"name": "load", "level": 1}],
        },
    }  # fmt: skip
    detail = translate.to_decision_detail(row, [], [])
    found = None if detail.variants is None else [v.model_dump() for v in detail.variants]
    assert found == variants
