"""Rows to the decider's values and back; pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
from sqlalchemy import RowMapping

from decider import (
    Control,
    DirectionRules,
    FloatArray,
    Hardware,
    InterruptionBelief,
    Limits,
    RatePolicy,
    ReplicaState,
    RiskState,
    Sla,
    SpotReplicas,
    StepQuantiles,
    TrailingRule,
    TrustState,
    learn_interruptions,
    promise_of_steps,
)
from services.kernel.domain import WorkloadSpec
from services.kernel.domain.measured_by import measured_by
from services.kernel.domain.path_bytes import HALF, unpack_halves
from services.kernel.domain.schedules import is_in_force
from services.kernel.domain.workload import ScalingRules

N_COMONOTONE_PATHS = 100
PRIORITY_OF_WEIGHT_1 = 50
"""SLA class priority at which a loss counts once; bronze's."""
Freeze = Literal["ScaleDown", "Both"]


def to_paths(row: RowMapping) -> FloatArray:
    """(S, H) sample paths of a forecast row; comonotone ones of its quantiles where it has none."""
    n_horizon = int(row["n_horizon"])
    if has_paths(row):
        scale = float(np.float32(row["path_scale"] or 1.0))
        return _halves(row).astype(np.float64) * scale
    if not row["quantile_levels"]:
        return np.zeros((1, n_horizon))  # no forecast: the ladder answers
    levels, quantiles = _levels(row), _quantiles(row)
    # as many as those of the shard that have paths: workloads of one shape are decided together
    n_paths = int(row["n_paths"]) or N_COMONOTONE_PATHS
    at = (np.arange(n_paths) + 0.5) / n_paths
    columns = [np.interp(at, levels, quantiles[:, h]) for h in range(n_horizon)]
    return np.stack(columns, axis=1)


def has_paths(row: RowMapping) -> bool:
    """Whether sample paths are stored with a forecast row."""
    return row["n_paths"] > 0 and not (row["paths"] is None and row.get("packed_paths") is None)


def _halves(row: RowMapping) -> npt.NDArray[np.float16]:
    """(S, H) paths as they are stored: compressed, or as releases before 0021 wrote them."""
    n_paths, n_horizon = int(row["n_paths"]), int(row["n_horizon"])
    packed = row.get("packed_paths")
    if packed is not None:
        return unpack_halves(packed, n_paths, n_horizon)
    return np.frombuffer(row["paths"], dtype=HALF).reshape(n_paths, n_horizon)


def to_quantiles(row: RowMapping) -> StepQuantiles | None:
    """Quantile function of a forecast row; None where it has none that could be used."""
    levels, values = _levels(row), _quantiles(row)
    is_complete = values.shape == (levels.size, int(row["n_horizon"])) and levels.size > 1
    if not is_complete or not (np.diff(levels) > 0).all() or not 0 < levels[0] < levels[-1] < 1:
        return None
    return StepQuantiles(levels, values)


def _levels(row: RowMapping) -> FloatArray:
    """(Q,) levels as they were meant: single precision has 0.9 as 0.89999998."""
    return np.round(np.asarray(row["quantile_levels"] or (), dtype=float), 6)


def _quantiles(row: RowMapping) -> FloatArray:
    """(Q, H) as they are stored, whatever way they came: as text they have fewer digits."""
    return np.asarray(row["quantiles"] or (), dtype=np.float32).astype(float)


def forecast_rung(row: RowMapping) -> str:
    """Rung of a forecast row; empty where the row only says why there is no forecast."""
    return str(row["rung"]) if row["quantile_levels"] or has_paths(row) else ""


def without_numbers(row: RowMapping, reason: str) -> RowMapping:
    """A forecast row as if nothing had been forecast, and why."""
    emptied = dict.fromkeys(
        ("paths", "packed_paths", "path_scale", "further_names", "further_paths", "further_scales")
    )
    empty = {"n_paths": 0, "quantile_levels": [], "quantiles": []}
    # what reads a row asks for its columns by name, as of any mapping
    return cast(RowMapping, {**row, **emptied, **empty, "reason": reason})


def of_present_loads(row: RowMapping, spec: WorkloadSpec) -> RowMapping:
    """A forecast row; without its numbers where its loads are measured by something else now.

    They are in another unit than what a replica bears. A row of before this was noted is taken for
    one of today's queries.
    """
    own = measured_by(spec, spec.loads)
    if (row.get("measured_by") or own) == own:
        return row
    return without_numbers(row, "it was made before its loads were given another query or unit")


def to_replica_state(row: RowMapping, rate: InterruptionBelief | None = None) -> ReplicaState:
    """Replicas from a snapshot, whose starts are those on nodes first, then those without one.

    Those on nodes that are about to go are neither asked for nor there any longer: the operator
    asks for as many more until they are gone.

    Args:
        row: The snapshot.
        rate: How often a spot node of the type is interrupted; None: nothing was counted.
    """
    leaving = int(row.get("leaving_replicas") or 0)
    ready = max(0, int(row["ready_replicas"]) - leaving)
    ages = [max(0.0, float(age)) for age in row["start_ages_s"]]
    n_pending = min(int(row["pending_replicas"]), len(ages))
    bound = len(ages) - n_pending
    return ReplicaState(
        spec=max(0, int(row["spec_replicas"]) - leaving),
        ready=ready,
        starting_age_s=tuple(sorted(ages[:bound], reverse=True)),
        pending_age_s=tuple(sorted(ages[bound:], reverse=True)),
        schedulable_gpus=row["schedulable_gpus"],
        spot=_to_spot(row, ready, rate),
    )


def is_on_spot(row: RowMapping) -> bool:
    """Whether replicas of a snapshot, or of a part of it, are or would be on spot nodes."""
    parts = (row["variants"] or {}).values()
    return bool(row["spot_replicas"]) or any(part.get("spot") for part in parts)


def _to_spot(row: RowMapping, ready: int, rate: InterruptionBelief | None) -> SpotReplicas | None:
    """Replicas on spot nodes; None: there are none."""
    replicas = min(ready, int(row.get("spot_replicas") or 0))
    if not replicas:
        return None
    nodes = max(1, min(replicas, int(row["spot_nodes"] or 0)))
    belief = rate or learn_interruptions(0.0, 0.0)
    return SpotReplicas(replicas, nodes, belief.interruptions, belief.node_hours)


def aged(state: ReplicaState, by_s: float) -> ReplicaState:
    """The same starts, older: their clocks run on after the snapshot."""
    grown = max(0.0, by_s)
    return replace(
        state,
        starting_age_s=tuple(age + grown for age in state.starting_age_s),
        pending_age_s=tuple(age + grown for age in state.pending_age_s),
    )


def _rules(rules: ScalingRules) -> DirectionRules:
    return DirectionRules(
        stabilization_window_s=float(rules.stabilization_window_s),
        select_policy=rules.select_policy,
        policies=tuple(RatePolicy(p.type, p.value, float(p.period_s)) for p in rules.policies),
        tolerance=rules.tolerance,
    )


def to_limits(spec: WorkloadSpec) -> Limits:
    """Bounds and behaviour."""
    return Limits(
        spec.min_replicas,
        spec.max_replicas,
        _rules(spec.behavior.scale_up),
        _rules(spec.behavior.scale_down),
        spec.fallback_replicas,
    )


def to_sla(spec: WorkloadSpec) -> Sla:
    """The promise as it is stated."""
    sla = spec.sla
    weight = sla.priority_in_force / PRIORITY_OF_WEIGHT_1
    good_share = None if sla.objective is None else sla.objective.share
    return Sla(sla.epsilon, sla.kind, sla.window_s, weight, good_share)


def to_sla_of_steps(spec: WorkloadSpec, step_s: float) -> Sla:
    """What the promise is of each step: what decisions keep, and outcomes are counted against."""
    return promise_of_steps(to_sla(spec), step_s)


def to_hardware(spec: WorkloadSpec) -> Hardware:
    """GPUs and price; with variants those of the first one, per reference replica."""
    price = spec.price_usd_per_gpu_hour
    if spec.variants:
        price /= spec.variants[0].ratio(spec.capacity.per_replica)
    return Hardware(spec.gpu_type, spec.gpus_per_replica, price)


def measured_unit(spec: WorkloadSpec) -> str:
    """What the measured ledger of a promise counts."""
    return "requests" if spec.sla.kind == "DemandFraction" else "steps"


def to_risk_state(state: Mapping[str, Any] | None, unit: str = "") -> RiskState:
    """Memory of the risk control; fields that a later version added take their defaults.

    Args:
        state: What is stored.
        unit: What the promise counts now; a measured ledger in another unit is begun anew. Empty:
            not asked.
    """
    given = state or {}
    known = {n: float(v) for n, v in given.items() if n in _RISK_FIELDS and v is not None}
    if unit and given.get("measured_unit", unit) != unit:
        known = {n: v for n, v in known.items() if not n.startswith("measured_")}
    log_multiplier = known.pop("log_multiplier", None)
    return RiskState(**known, log_multiplier=log_multiplier)


def to_own_since(states: Mapping[int, Mapping[str, Any]]) -> dict[int, float]:
    """Time since when each count is one that was decided; of memories that do not say it, none."""
    given = {key: state[OWN_SINCE] for key, state in states.items() if OWN_SINCE in state}
    return {key: math.inf if at is None else float(at) for key, at in given.items()}


@dataclass(frozen=True, slots=True)
class EndLedgers:
    """The measured ledger at both ends of what was missed; only what is measured is filled.

    Attributes:
        low: Had the least been missed.
        high: Had the most been missed.
    """

    low: RiskState = field(default_factory=RiskState)
    high: RiskState = field(default_factory=RiskState)


def to_end_ledgers(state: Mapping[str, Any], unit: str) -> EndLedgers:
    """The ledgers of both ends, as far as they are stored in the unit that counts now.

    Args:
        state: What is stored.
        unit: What the promise counts now.
    """
    if state.get("measured_unit", unit) != unit:
        return EndLedgers()
    return EndLedgers(
        *(
            RiskState(
                **{f"measured_{name}": state.get(f"{end}_{name}") or 0.0 for name in _COUNTED}
            )
            for end in _ENDS
        )
    )


def from_end_ledgers(ends: EndLedgers) -> dict[str, float]:
    """What is stored of those ledgers."""
    return {
        f"{end}_{name}": float(getattr(getattr(ends, end), f"measured_{name}"))
        for end in _ENDS
        for name in _COUNTED
    }


@dataclass(frozen=True, slots=True)
class TrustInForce:
    """Verdict of the trust gate on a workload's model.

    Attributes:
        is_trusted: The forecast may answer.
        reason: Why; empty where there was no look yet.
        rule: Setting of the trailing percentile that answers instead; None where it does not.
    """

    is_trusted: bool = True
    reason: str = ""
    rule: TrailingRule | None = None


def to_trust(row: RowMapping) -> TrustInForce:
    """A verdict; its trailing percentile answers only while the model is not trusted."""
    if row["is_trusted"]:
        return TrustInForce(True, row["reason"])
    rule = row["scores"].get("rule")
    return TrustInForce(False, row["reason"], TrailingRule(**rule) if rule else None)


def to_trust_state(state: Mapping[str, Any]) -> TrustState:
    """Memory of the trust gate; fields that a later version added take their defaults."""
    known = {n: v for n, v in state.items() if n in TrustState.__dataclass_fields__}
    lists = {n: tuple(float(x) for x in v) for n, v in known.items() if isinstance(v, list)}
    return TrustState(**(known | lists))


OWN_SINCE = "own_since_s"
_RISK_FIELDS = set(RiskState.__dataclass_fields__)
_ENDS, _COUNTED = ("low", "high"), ("missed", "total", "steps")
"""Names under which the ledgers of both ends are stored: `low_missed`."""


def to_control(spec: WorkloadSpec, now: datetime) -> Control:
    """Pauses and the schedules in force at `now`; the strictest bounds win."""
    active = [s for s in spec.schedules if is_in_force(s, now)]
    minima = [s.min_replicas for s in active if s.min_replicas is not None]
    maxima = [s.max_replicas for s in active if s.max_replicas is not None]
    freezes = [s.freeze for s in active if s.freeze is not None]
    freeze: Freeze | None = None
    if freezes:
        freeze = "Both" if "Both" in freezes else "ScaleDown"
    until, unreadable = _paused_until(spec)
    return Control(
        is_paused=(spec.paused and until is None) or unreadable,
        paused_until_s=until,
        scale_in_only=spec.scale_in_only,
        scale_out_only=spec.scale_out_only,
        schedule=", ".join(s.name for s in active),
        schedule_min=max(minima) if minima else None,
        schedule_max=min(maxima) if maxima else None,
        freeze=freeze,
        is_automatic=spec.mode == "Auto",
    )


def _paused_until(spec: WorkloadSpec) -> tuple[float | None, bool]:
    """End of a pause; an end that cannot be read is no end."""
    if not spec.paused_until:
        return None, False
    try:
        until = datetime.fromisoformat(spec.paused_until)
    except ValueError:
        return None, True
    return (until.timestamp(), False) if until.tzinfo else (None, True)


def to_draws(blob: bytes) -> FloatArray:
    """Posterior draws from their stored float32 form."""
    return np.frombuffer(blob, dtype=np.float32).astype(np.float64)


def from_draws(draws: FloatArray) -> bytes:
    """Posterior draws as float32 bytes."""
    return np.asarray(draws, dtype=np.float32).tobytes()
