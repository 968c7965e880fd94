"""Decisions in words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import given, strategies as st

from services.admin.decisions import wording
from services.admin.decisions.schemas import DecisionDetail

AT = datetime(2026, 1, 5, 14, 5, tzinfo=UTC)


def detail(**explanation: Any) -> DecisionDetail:
    return DecisionDetail.model_validate(
        {
            "id": 1,
            "cluster": "default",
            "namespace": "a",
            "workload": "b",
            "origin_at": AT,
            "decided_at": AT,
            "current_replicas": 5,
            "raw_replicas": 7,
            "desired_replicas": 6,
            "direction": "up",
            "reason": "scale_up_risk",
            "rung": "forecast",
            "risk_target": 0.01,
            "risk_estimated": 0.004,
            "cost_delta_usd_per_h": 2.5,
            "forecast_id": 1,
            "policy_version": "harmony-1",
            "valid_until": AT,
            "model_version": "m",
            "forecast_rung": "model",
            "forecast_reason": "",
            "explanation": explanation,
            "actions": [],
            "outcomes": [],
        }
    )


def test_explanation_in_words() -> None:
    why = wording.explain(
        detail(
            guard_trace=[
                {"guard": "rate_limit", "before": 7, "after": 6, "detail": "at most 6 now"}
            ],
            counterfactuals={"zero_lead_time": 5, "epsilon_0.05": 6, "epsilon_0.001": 9},
            quantiles={"p50": 1234.0, "p99": None},
            risk={"target": 0.01, "before": 0.2, "after": 0.004, "level": None},
            plan=[6, 6, 5],
        )
    )
    assert "Staying at 5" in why.sentence
    assert why.guards[0].is_active
    assert why.guards[0].label == "Rate limit"
    assert why.counterfactuals == (
        ("at a promise of 0.1 %", 9, 2),
        ("at a promise of 5 %", 6, -1),
        ("if replicas started at once", 5, -2),
    )
    assert why.quantiles == (("p50", "1,234"), ("p99", "–"))
    assert [label for label, _ in why.risk] == [
        "Promised",
        "Estimated if kept at 5",
        "Estimated with 6",
    ]
    assert why.plan == (6, 6, 5)


@given(
    st.dictionaries(
        st.sampled_from(
            ["guard_trace", "counterfactuals", "quantiles", "risk", "plan", "gpu_budget"]
        ),
        st.none()
        | st.lists(st.integers() | st.text(max_size=3), max_size=2)
        | st.dictionaries(st.text(max_size=4), st.none() | st.text(max_size=3), max_size=2),
    )
)
def test_a_strange_record_never_breaks_the_page(record: dict[str, Any]) -> None:
    why = wording.explain(detail(**record))
    assert why.sentence
