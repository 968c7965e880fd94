"""Decisions that wait for a person, and verdicts, as a client sends and reads them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from services.admin.approvals.schemas import InboxItem, VerdictRequest, VerdictView
from services.admin.decisions.schemas import DecisionSummary
from tests.unit.admin.shapes import documented, nullable, optional, through

AT = "2026-01-05T12:00:00Z"
VERDICT: dict[str, Any] = {
    "decision_id": 123,
    "verdict": "approved",
    "reason": "expected campaign",
    "actor": "ops (0123456789)",
    "decided_at": AT,
}
ITEM: dict[str, Any] = {
    "id": 123,
    "cluster": "default",
    "namespace": "prod",
    "workload": "llama-70b",
    "origin_at": AT,
    "decided_at": AT,
    "current_replicas": 8,
    "raw_replicas": 10,
    "desired_replicas": 10,
    "direction": "up",
    "reason": "scale_up_risk",
    "rung": "model",
    "risk_target": 0.01,
    "risk_estimated": None,
    "cost_delta_usd_per_h": 5.0,
}


def test_what_waits_is_a_decision_with_a_line_about_it_and_an_end() -> None:
    line = documented(InboxItem)["summary"]
    waiting = ITEM | {"expires_at": "2026-01-05T12:15:00Z"}
    with_line = InboxItem.model_validate(waiting | {"summary": line})
    assert (with_line.summary, with_line.expires_at.minute) == (line, 15)
    beside = {"summary", "expires_at"}
    assert with_line.model_dump(exclude=beside) == DecisionSummary(**ITEM).model_dump()
    assert InboxItem.model_validate(waiting).summary is None
    assert "expires_at" not in optional(InboxItem, waiting) | nullable(InboxItem, waiting)


def test_the_documented_line_tells_of_the_documented_decision() -> None:
    shown = f"{ITEM['namespace']}/{ITEM['workload']}: {ITEM['current_replicas']} -> "
    shown += f"{ITEM['desired_replicas']} ({ITEM['reason']}), +{ITEM['cost_delta_usd_per_h']:.2f}"
    assert documented(InboxItem)["summary"] == f"{shown} USD/h"


def test_a_verdict_comes_through_whole_and_is_what_is_documented() -> None:
    assert through(VerdictView, VERDICT) == VERDICT
    assert documented(VerdictView) | {"decided_at": AT} == VERDICT
    assert optional(VerdictView, VERDICT) == nullable(VerdictView, VERDICT) == set()


@pytest.mark.parametrize("verdict", ["maybe", "Approved", None])
def test_a_verdict_is_one_of_two(verdict: str | None) -> None:
    assert VerdictView.model_validate(VERDICT | {"verdict": "rejected"}).verdict == "rejected"
    with pytest.raises(ValidationError, match="verdict"):
        VerdictView.model_validate(VERDICT | {"verdict": verdict})


def test_a_verdict_needs_no_reason_and_takes_nothing_else() -> None:
    assert VerdictRequest().reason == ""
    assert VerdictRequest.model_validate({"reason": "expected"}).reason == "expected"
    for body in ({"reason": "a\x00b"}, {"reason": "x" * 501}, {"verdict": "approved"}):
        with pytest.raises(ValidationError):
            VerdictRequest.model_validate(body)
