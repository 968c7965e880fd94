"""Rows of decisions, actions and outcomes to what the API returns; pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, get_args

from sqlalchemy import RowMapping

from services.admin.decisions import schemas
from services.admin.decisions.loads_wording import bound_shares
from services.admin.rest.translate import finite
from services.kernel.db.retention import not_kept
from services.kernel.domain import SlaSpec, known_spec
from services.kernel.domain.measured_by import MEASURED_BY, measured_by
from services.kernel.domain.workload import RiskKind

_OUTCOME_NUMBERS = (
    *("demand", "ready_mean", "sli_requests", "sli_miss_low", "sli_miss_high", "shortage"),
    *("gpu_hours", "cost_usd"),
)


def to_decision(row: RowMapping) -> schemas.DecisionSummary:
    """A decision for a list."""
    return schemas.DecisionSummary.model_validate(decision_values(row))


def decision_values(row: RowMapping) -> dict[str, Any]:
    """Fields of a decision, its numbers rounded."""
    values: dict[str, Any] = dict(row)
    return values | {
        "workload": values["name"],
        "binding_constraint": values["binding_constraint"] or None,
        "risk_target": finite(values["risk_target"]),
        "risk_estimated": finite(values["risk_estimated"]),
        "cost_delta_usd_per_h": finite(values["cost_delta_usd_per_h"]) or 0.0,
    }


def to_decision_detail(
    row: RowMapping,
    actions: Sequence[RowMapping],
    outcomes: Sequence[RowMapping],
    killed: Sequence[RowMapping] = (),
) -> schemas.DecisionDetail:
    """A decision with its forecast, actions and outcomes (oldest first), and the pods it killed."""
    attempts = [to_action(item) for item in reversed(actions)]
    newest = attempts[-1] if attempts else None
    known = decision_values(row)
    values = known | {
        "expected_misses": to_expected_misses(known["explanation"]),
        "bound_by": bound_shares(known["explanation"]) or None,
        "risk_kind": _risk_kind(row),
        **_carried(row),
        "action_result": newest.result if newest else None,
        "action_reason": newest.reason if newest else None,
        "applied_at": newest.applied_at if newest else None,
        "replay_message": None if row["is_replayable"] else not_kept(row["id"]),
        "actions": attempts,
        "killed_pods": [schemas.KilledPodView.model_validate(dict(item)) for item in killed],
        "outcomes": [to_outcome(item) for item in reversed(outcomes)],
    }
    return schemas.DecisionDetail.model_validate(values)


def seen_in(explanation: Mapping[str, Any], namespaces: Collection[str] | None) -> dict[str, Any]:
    """A stored explanation without the names of workloads in other namespaces (None: none are).

    A budget is shared by all namespaces, so who gave up what of it is stored with each decision;
    `n_unseen` says how many are left out here.
    """
    budget = explanation.get("gpu_budget")
    named = budget.get("gave_up") if isinstance(budget, dict) else None
    if namespaces is None or not isinstance(budget, dict) or not isinstance(named, list):
        return dict(explanation)
    seen = [one for one in named if _namespace_of(one) in namespaces]
    shown = budget | {"gave_up": seen, "n_unseen": len(named) - len(seen)}
    return {**explanation, "gpu_budget": shown}


def _namespace_of(given_up: object) -> str:
    """Of what gave up GPUs; empty where that was spoilt by hand."""
    workload = given_up.get("workload") if isinstance(given_up, dict) else None
    return str(workload or "").partition("/")[0]


def _carried(row: RowMapping) -> dict[str, Any]:
    """What one replica was believed to carry, and how that was known, when it was decided.

    A decision of before that was kept with it went by the spec of then. Where that may have been
    edited since, today's says nothing of it.
    """
    kept = row["explanation"].get("capacity")
    if isinstance(kept, dict):
        carried = {f"capacity_{name}": kept.get(name) for name in ("per_replica", "source")}
        return carried | {"demand_unit": kept.get("unit") or ""}
    spec = known_spec(row["spec"])
    unit = next(item.unit for item in spec.indicators if item.name == spec.demand)
    found: dict[str, Any] = {"demand_unit": unit}
    if _has_changed(row) or spec.parts or spec.further_loads:
        return found
    stated, learned = spec.capacity.per_replica, row["learned"] or {}
    learned_for, measured = learned.get("learned_for", {}), measured_by(spec, spec.loads)
    is_in_unit = learned_for.get(MEASURED_BY, measured) == measured
    is_of_spec = is_in_unit and learned_for.get("per_replica") == stated
    load = finite(learned.get("p50")) if is_of_spec else None
    if load:
        return found | {"capacity_per_replica": load, "capacity_source": "learned"}
    return found | {"capacity_per_replica": stated, "capacity_source": "stated"}


def _risk_kind(row: RowMapping) -> str | None:
    """What was promised; None: it may have been edited since, or was spoilt by hand."""
    sla = row["spec"].get("sla", {})
    kind = sla.get("kind", SlaSpec().kind) if isinstance(sla, dict) else None
    return None if _has_changed(row) or kind not in get_args(RiskKind) else str(kind)


def _has_changed(row: RowMapping) -> bool:
    """The workload's spec may have been another when it was decided."""
    return bool(row["workload_updated_at"] > row["decided_at"])


def to_expected_misses(explanation: object) -> schemas.ExpectedMissesView | None:
    """What counts are expected to miss, by a stored explanation; None: it does not say."""
    record = explanation.get("expected_misses") if isinstance(explanation, dict) else None
    if not isinstance(record, dict) or not isinstance(record.get("by_replicas"), dict):
        return None
    shares = sorted(
        (int(count), float(share))
        for count, share in record["by_replicas"].items()
        if isinstance(share, (int, float)) and str(count).isdecimal()
    )
    if record.get("of") not in ("requests", "minutes") or not shares:
        return None
    told = [schemas.ExpectedShare(replicas=count, share=share) for count, share in shares]
    floor = record.get("floor")
    return schemas.ExpectedMissesView(
        of=record["of"],
        by_replicas=told,
        floor=float(floor) if isinstance(floor, (int, float)) else None,
    )


def to_action(row: RowMapping) -> schemas.ActionView:
    """An action."""
    parts = row["parts"] and [
        {**part, "from_replicas": part["from"], "to_replicas": part["to"]} for part in row["parts"]
    ]
    return schemas.ActionView.model_validate(dict(row) | {"workload": row["name"], "parts": parts})


def to_outcome(row: RowMapping) -> schemas.OutcomeView:
    """An outcome; what is not finite was not measured."""
    cleaned = {name: finite(row[name]) for name in _OUTCOME_NUMBERS}
    measured, believed = finite(row["measured_violation_ratio"]), finite(row["violation_ratio"])
    cleaned |= {
        "violation_ratio": believed if measured is None else measured,
        "measured_ratio": measured,
        "believed_ratio": believed,
    }
    return schemas.OutcomeView.model_validate(dict(row) | {"workload": row["name"]} | cleaned)
