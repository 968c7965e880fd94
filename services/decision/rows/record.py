"""A decision as it is stored: its columns, its explanation, the inputs that make it again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
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
from services.decision.rows.loads import missing_loads, missing_words
from services.decision.rows.variants import to_column
from services.kernel.domain.loads import bound_words


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


@dataclass(frozen=True, slots=True)
class LoadNote:
    """What an explanation says of several loads: its fields, and the end of its summary."""

    fields: Mapping[str, object]
    words: str = ""


def _about_loads(prepared: Prepared, row: int, decision: Decision) -> LoadNote:
    """Which load binds; where a forecast lacks further loads, what was decided by instead."""
    spec = prepared.members[row].spec
    if not spec.further_loads:
        return LoadNote({})
    if prepared.further[row] is None:
        missing = missing_loads(prepared.forecasts[row], spec)
        is_observed = bool(prepared.request.workloads[row].further_capacity)
        message = missing_words(missing, spec, is_observed=is_observed)
        return LoadNote({"further_loads": {"missing": missing, "message": message}}, message)
    if not decision.bound_by:
        return LoadNote({})
    names = (spec.demand, *spec.further_loads)
    shares = {n: float(f"{v:.4g}") for n, v in zip(names, decision.bound_by, strict=True)}
    return LoadNote({"bound_by": shares}, bound_words(shares))


def decision_row(
    prepared: Prepared, row: int, decision: Decision, stamp: DecisionStamp
) -> tuple[Any, ...]:
    """The row of one decision, in the order of `repository.DECISION_COLUMNS`."""
    forecast, now = prepared.forecasts[row], stamp.decided_at
    beside = prepared.further[row]
    inputs = inputs_to_bytes(
        prepared.request,
        row,
        decision,
        stamp.config,
        now.timestamp(),
        (prepared.path_scales[row], *(beside.scales if beside is not None else ())),
    )
    record = decision_to_dict(decision) | {
        "summary": decision_summary(replace(decision, bound_by=())),  # told below, by name
        "sha256": hashlib.sha256(decision_bytes(decision)).hexdigest(),
        "forecast": {
            "id": forecast["id"],
            "model_version": forecast["model_version"],
            "rung": forecast["rung"],
            "reason": forecast["reason"],
        },
    }
    about = _about_loads(prepared, row, decision)
    if about.words:
        record |= {**about.fields, "summary": f"{record['summary']}, {about.words}"}
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
