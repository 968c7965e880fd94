"""A decision as it is stored: its columns, its explanation, the inputs that make it again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from decider import (
    DecideConfig,
    Decision,
    decision_bytes,
    decision_summary,
    decision_to_dict,
    inputs_to_bytes,
)
from services.decision.rows.inputs import Prepared
from services.decision.rows.variants import to_column


@dataclass(frozen=True, slots=True)
class DecisionStamp:
    """Values that a decision is stored with.

    Attributes:
        decision_id: Fresh id.
        decided_at: Time of the decision.
        policy_version: Name of the policy.
        config: Its settings.
        gpu_budget: The budget of its GPU type and who gave up what; None: there is no budget.
        trace: `traceparent` of the run that made it, for whoever applies it; empty: none.
    """

    decision_id: int
    decided_at: datetime
    policy_version: str
    config: DecideConfig
    gpu_budget: Mapping[str, object] | None = None
    trace: str = ""


def decision_row(
    prepared: Prepared, row: int, decision: Decision, stamp: DecisionStamp
) -> tuple[Any, ...]:
    """The row of one decision, in the order of `repository.DECISION_COLUMNS`."""
    forecast, now = prepared.forecasts[row], stamp.decided_at
    inputs = inputs_to_bytes(
        prepared.request,
        row,
        decision,
        stamp.config,
        now.timestamp(),
        prepared.path_scales[row],
    )
    record = decision_to_dict(decision) | {
        "summary": decision_summary(decision),
        "sha256": hashlib.sha256(decision_bytes(decision)).hexdigest(),
        "forecast": {
            "id": forecast["id"],
            "model_version": forecast["model_version"],
            "rung": forecast["rung"],
            "reason": forecast["reason"],
        },
    }
    workload = prepared.request.workloads[row]
    if workload.trust_reason:
        record["trust"] = {
            "is_model_trusted": workload.is_model_trusted,
            "reason": workload.trust_reason,
        }
    if stamp.gpu_budget is not None:
        record["gpu_budget"] = dict(stamp.gpu_budget)
    if stamp.trace:
        record["trace"] = stamp.trace
    variants = to_column(decision)
    valid_s = decision.valid_until_s - now.timestamp()
    return (
        stamp.decision_id,
        forecast["origin_at"],
        forecast["workload_id"],
        forecast["id"],
        stamp.policy_version,
        now,
        now + timedelta(seconds=valid_s),
        decision.current,
        decision.raw,
        decision.final,
        str(decision.direction),
        str(decision.reason),
        decision.binding_constraint or None,
        forecast["rung"] if decision.rung == "forecast" else decision.rung,
        decision.risk_target,
        decision.risk_after,
        decision.cost_delta_usd_per_hour,
        orjson.dumps(record).decode(),
        inputs,
        None if variants is None else orjson.dumps(variants).decode(),
    )
