"""Lead times of a workload, and of each of its variants; pure.

What is believed is the fitted posterior, else what the spec states, updated with the starts of the
last hours. A pod has one GPU type: variants of one type share a lead time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from sqlalchemy import RowMapping

from decider import FloatArray, LeadTimeBelief, predictive_draws, update_belief
from services.kernel.domain import WorkloadSpec

N_DRAWS = 64
PRIOR_STARTS = 20.0
"""Starts that a stated or fitted lead time counts for against those of the last hours."""


@dataclass(frozen=True, slots=True)
class Known:
    """Evidence that lead times are learned from.

    Attributes:
        fitted: Draws of the fitted lead times by scope.
        starts: Pod starts of the workload, oldest first.
        now: Aware.
    """

    fitted: Mapping[str, FloatArray]
    starts: Sequence[RowMapping]
    now: datetime


def own_scope(workload_id: int, gpu_type: str = "") -> str:
    """Scope of a workload's own lead time; with a GPU type, of its replicas of that type."""
    return f"workload:{workload_id}/{gpu_type}" if gpu_type else f"workload:{workload_id}"


def type_scope(gpu_type: str) -> str:
    """Scope of the lead time of a new workload of a GPU type."""
    return f"gpu_type:{gpu_type}"


def scopes(workload_id: int, spec: WorkloadSpec) -> list[str]:
    """Scopes of posteriors that a workload may use."""
    types = dict.fromkeys(part.gpu_type for part in spec.parts)
    own = [own_scope(workload_id, gpu_type) for gpu_type in types]
    return [own_scope(workload_id), *own, *map(type_scope, types or (spec.gpu_type,))]


def of_workload(workload_id: int, spec: WorkloadSpec, known: Known) -> FloatArray:
    """(P,) draws for a workload without variants."""
    return _draws(spec, (own_scope(workload_id), type_scope(spec.gpu_type)), known)


def of_variants(workload_id: int, spec: WorkloadSpec, known: Known) -> dict[str, FloatArray]:
    """(P,) draws of each variant by name, each from the starts of its own GPU type."""
    by_type: dict[str, FloatArray] = {}
    for gpu_type in dict.fromkeys(v.gpu_type for v in spec.variants):
        starts = [s for s in known.starts if s["gpu_type"] == gpu_type]
        own = Known(known.fitted, starts, known.now)
        wanted = (own_scope(workload_id, gpu_type), type_scope(gpu_type))
        by_type[gpu_type] = _draws(spec, wanted, own)
    return {v.name: by_type[v.gpu_type] for v in spec.variants}


def slowest(leads: Mapping[str, FloatArray], moving: Sequence[str] = ()) -> FloatArray:
    """Draws of the variant that takes longest by its median.

    Args:
        leads: Draws of each variant by name; at least one.
        moving: Variants that may be given replicas, or have some on their way; of these, where
            there are any.
    """
    chosen = [name for name in moving if name in leads] or list(leads)
    return leads[max(chosen, key=lambda name: float(np.median(leads[name])))]


def _draws(spec: WorkloadSpec, wanted: Sequence[str], known: Known) -> FloatArray:
    """Draws of the first fitted scope of `wanted`, else as stated, updated with the starts.

    Starts that are still on their way count as right-censored at their present age.
    """
    fitted = next((known.fitted[scope] for scope in wanted if scope in known.fitted), None)
    if fitted is None:
        stated = spec.lead_time
        belief = LeadTimeBelief.from_median(stated.median_s, stated.sigma, PRIOR_STARTS)
    else:
        logs = np.log(np.maximum(fitted, 1e-3))
        belief = LeadTimeBelief(float(logs.mean()), float(logs.std()), PRIOR_STARTS, PRIOR_STARTS)
    durations, ages = durations_of(known.starts, known.now)
    draws = predictive_draws(update_belief(belief, durations, ages, n_iterations=12), N_DRAWS)
    return draws.astype(np.float32).astype(float)  # half the bytes of what a replay needs


def durations_of(starts: Sequence[RowMapping], now: datetime) -> tuple[FloatArray, FloatArray]:
    """Lead times of finished starts and ages of those on their way, in seconds.

    A pod that went away before it was ready is censored at the time it went.
    """
    durations, ages = [], []
    for start in starts:
        if start["ready_at"] is not None:
            durations.append((start["ready_at"] - start["requested_at"]).total_seconds())
        else:
            ages.append(((start["gone_at"] or now) - start["requested_at"]).total_seconds())
    kept_durations = np.array([d for d in durations if d > 0], dtype=float)
    return kept_durations, np.array([a for a in ages if a > 0], dtype=float)
