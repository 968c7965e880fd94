"""Decisions that wait for a person, and verdicts, as the API takes and returns them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from services.admin.decisions.schemas import DecisionSummary
from services.admin.rest.schemas import In, Out, Reason


class InboxItem(DecisionSummary):
    """A decision that waits for a human."""

    summary: str | None = Field(
        None,
        description="What, why and what it costs, in one line",
        examples=["prod/llama-70b: 8 -> 10 (scale_up_risk), +5.00 USD/h"],
    )
    expires_at: datetime = Field(
        description="From then on it cannot be approved: `spec.approval.expireAfter` of the "
        "GPUAutoscaler after it was decided"
    )


class VerdictRequest(In):
    """Why a decision is approved or rejected."""

    reason: Reason = Field("", examples=["expected campaign"])
    overrule: bool = Field(
        False, description="Approve it although somebody else has rejected it meanwhile"
    )


class VerdictView(Out):
    """What a human said of a decision."""

    decision_id: int = Field(examples=[123])
    verdict: Literal["approved", "rejected"] = Field(examples=["approved"])
    reason: str = Field(examples=["expected campaign"])
    actor: str = Field(examples=["ops (0123456789)"])
    decided_at: datetime
