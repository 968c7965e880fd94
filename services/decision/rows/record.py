"""A decision as it is stored: its columns, its explanation, the inputs that make it again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import orjson

from decider import (
    DecideConfig,
    Decision,
    ForecastArrays,
    decision_bytes,
    decision_summary,
    decision_to_dict,
    inputs_to_bytes,
    misses_to_dict,
)
from services.decision.rows.loads import missing_loads, missing_words, to_further_paths
from services.decision.rows.pools import to_forecast_arrays
from services.decision.rows.prepare import Prepared
from services.decision.rows.service_decision import ServiceDecision, binding_pool, pool_words
from services.decision.rows.translate import forecast_rung
from services.decision.rows.variants import to_column
from services.kernel.domain import PoolSpec
from services.kernel.domain.loads import bound_words


@dataclass(frozen=True, slots=True)
class DecisionStamp:
    """Values that a decision is stored with.

    Attributes:
        decision_id: Fresh id.
        decided_at: Time of the decision.
        policy_version: Name of the policy.
        gpu_budget: The budget of its GPU type and who gave up what; None: there is no budget.
        headroom: What is to be held ready of its GPU type; None: nothing is advised.
        trace: `traceparent` of the run that made it, for whoever applies it; empty: none.
    """

    decision_id: int
    decided_at: datetime
    policy_version: str
    gpu_budget: Mapping[str, object] | None = None
    trace: str = ""
    headroom: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class PackedDecision:
    """What takes long to make of a decision's row, and says nothing of who holds which budget.

    Attributes:
        made: The decision.
        inputs: What makes it again.
        record: Why it was decided.
    """

    made: ServiceDecision
    inputs: bytes
    record: Mapping[str, object]

    def is_of(self, made: ServiceDecision) -> bool:
        """Whether it packs the very same decisions."""
        pairs = zip(self.made.decisions, made.decisions, strict=True)
        return all(mine is other for mine, other in pairs)


@dataclass(frozen=True, slots=True)
class LoadNote:
    """What an explanation says of several loads: its fields, and the end of its summary."""

    fields: Mapping[str, object]
    words: str = ""


def _about_loads(made: ServiceDecision) -> LoadNote:
    """Which load binds; where a forecast lacks further loads, what was decided by instead."""
    spec, decision = made.member.spec, made.whole
    if not spec.further_loads:
        return LoadNote({})
    if to_further_paths(made.forecast, spec) is None:
        missing = missing_loads(made.forecast, spec)
        is_observed = made.has_pools or bool(made.rows[0].given.further_capacity)
        message = missing_words(missing, spec, is_observed=is_observed)
        return LoadNote({"further_loads": {"missing": missing, "message": message}}, message)
    if not decision.bound_by:
        return LoadNote({})
    shares = {n: float(f"{v:.4g}") for n, v in zip(spec.loads, decision.bound_by, strict=True)}
    return LoadNote({"bound_by": shares}, bound_words(shares))


def decisions_sha256(decisions: Sequence[Decision]) -> str:
    """Digest of the decisions about one workload, that a replay must reproduce."""
    return hashlib.sha256(b"".join(decision_bytes(one) for one in decisions)).hexdigest()


def _pools_to_dict(made: ServiceDecision) -> dict[str, object]:
    """What was decided about each pool, and which of them binds."""
    pairs = zip(made.member.spec.pools, made.decisions, strict=True)
    each = [_pool_to_dict(pool, decision) for pool, decision in pairs]
    bound = binding_pool(made.decisions[0])
    return {"summary": pool_words(made.decisions), "bound_by": bound, "counts": each}


def _pool_to_dict(pool: PoolSpec, decision: Decision) -> dict[str, object]:
    """What was decided about a pool; `spot` only where replicas of it are on spot nodes."""
    record = decision_to_dict(decision)
    return {
        "name": pool.name,
        "gpu_type": pool.gpu_type,
        "loads": list(pool.loads),
        "current": decision.current,
        "raw": decision.raw,
        "desired": decision.final,
        "reason": str(decision.reason),
        "binding_constraint": decision.binding_constraint,
        "guard_trace": record["guard_trace"],
    } | {name: record[name] for name in ("spot",) if name in record}


def _carried(made: ServiceDecision) -> dict[str, object] | None:
    """What one replica was believed to carry; None: there are several kinds of replicas or loads.

    Specs are edited and beliefs change: what a decision went by is kept with it.
    """
    spec, row = made.member.spec, made.rows[0]
    if spec.parts or spec.further_loads:
        return None
    is_learned = row.is_capacity_learned
    load = float(np.median(row.capacity)) if is_learned else spec.capacity.per_replica
    learned = "group" if row.given.is_response_borrowed else "learned"
    return {
        "per_replica": float(f"{load:.6g}"),
        "source": learned if is_learned else "stated",
        "unit": next(one.unit for one in spec.indicators if one.name == spec.demand),
    }


def _explanation(made: ServiceDecision) -> dict[str, object]:
    """Why it was decided, as it is stored."""
    forecast, decision = made.forecast, made.whole
    told = replace(decision, bound_by=())  # told below, by name
    if made.has_pools:
        told = replace(told, expected_misses=None)
    record = decision_to_dict(decision) | {
        "summary": decision_summary(told),
        "sha256": decisions_sha256(made.decisions),
        "forecast": {
            "id": forecast["id"],
            "model_version": forecast["model_version"],
            "rung": forecast["rung"],
            "reason": forecast["reason"],
        },
    }
    carried = _carried(made)
    if carried is not None:
        record["capacity"] = carried
    misses = decision.expected_misses
    if misses is not None and misses.floor:  # it decides nothing, so the digest is without it
        floor = float(f"{misses.floor:.4g}")
        record["expected_misses"] = misses_to_dict(misses) | {"floor": floor}
    if made.has_pools:
        pools = _pools_to_dict(made)
        record |= {"pools": pools, "summary": f"{record['summary']}, {pools['summary']}"}
    about = _about_loads(made)
    if about.words:
        record |= {**about.fields, "summary": f"{record['summary']}, {about.words}"}
    workload = made.rows[0].given
    if workload.trust_reason:
        record["trust"] = {
            "is_model_trusted": workload.is_model_trusted,
            "reason": workload.trust_reason,
        }
    return record


def pack_decision(
    prepared: Prepared, made: ServiceDecision, config: DecideConfig, decided_at: datetime
) -> PackedDecision:
    """Serialise the inputs of one workload's decision, and say why it was made.

    A forecast without numbers has nothing that could be taken from it again.
    """
    forecast = _forecast_of(prepared, made) if forecast_rung(made.forecast) else None
    now_s = decided_at.timestamp()
    inputs = inputs_to_bytes(
        prepared.request, made.at[0], made.decisions[0], config, now_s, forecast
    )
    return PackedDecision(made, inputs, _explanation(made))


def _forecast_of(prepared: Prepared, made: ServiceDecision) -> ForecastArrays:
    """What the decision took from its forecast: as `to_forecast_arrays` of it, not made twice."""
    further = made.member.spec.further_loads
    if made.has_pools:
        return to_forecast_arrays(made.forecast, further, has_pools=True)
    (row,) = made.rows
    steps = prepared.request.steps(made.at[0])
    if row.further is None:
        return ForecastArrays(row.paths[None], (), steps)
    return ForecastArrays(np.concatenate([row.paths[None], row.further]), further, steps)


def inputs_row(packed: PackedDecision, decision_id: int) -> tuple[int, datetime, bytes]:
    """The row of what one workload's decision is made again from, beside its forecast."""
    return decision_id, packed.made.forecast["origin_at"], packed.inputs


def decision_row(packed: PackedDecision, stamp: DecisionStamp) -> tuple[Any, ...]:
    """The row of one workload's decision, in the order of `repository.DECISION_COLUMNS`."""
    made, now = packed.made, stamp.decided_at
    forecast, decision = made.forecast, made.whole
    more: dict[str, object] = {}
    if stamp.gpu_budget is not None:
        more["gpu_budget"] = stamp.gpu_budget
    if stamp.headroom is not None:
        more["headroom"] = stamp.headroom
    if stamp.trace:
        more["trace"] = stamp.trace
    variants = to_column(made.counts)
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
        orjson.dumps({**packed.record, **more}).decode(),
        None if variants is None else orjson.dumps(variants).decode(),
    )
