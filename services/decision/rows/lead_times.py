"""Lead times of a workload, and of each of its variants; pure.

What is believed is the fitted posterior, else what the spec states, updated with the starts of the
last hours. A pod has one GPU type: variants of one type share a lead time.

A start that needs a new node waits for it first. Where that is so, the law is the sum of two: from
the request to the node, learned over all pods of the GPU type, and from the node to Ready, learned
of the workload's own starts on new nodes, whose images are cold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

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
        new_nodes: Start-up of the node that the next start needs, by GPU type; a type that is
            absent needs none.
    """

    fitted: Mapping[str, FloatArray]
    starts: Sequence[RowMapping]
    now: datetime
    new_nodes: Mapping[str, LeadTimeBelief] = field(default_factory=dict)


_STRIDE = 37
"""Pairs draws of a node with draws of a start, out of step with each other."""


def node_startup(supply: RowMapping) -> LeadTimeBelief:
    """Law of the time from a pod's request to its place on a new node, from a row of `gpu_supply`.

    What is stated counts for four starts, as where it was learned.
    """
    n = 4.0 + float(supply["n_startups"])
    return LeadTimeBelief.from_median(supply["startup_median_s"], supply["startup_sigma"], n)


def may_have_new_nodes(state: RowMapping) -> bool:
    """Whether GPUs of a workload, or of a part of it, may come on new nodes."""
    parts = (state["variants"] or {}).values()
    return state["new_node_gpus"] is not None or any("new_node_gpus" in part for part in parts)


@dataclass(frozen=True, slots=True)
class RoomOfTarget:
    """What a snapshot says of the GPUs that a target's replicas could have.

    Attributes:
        schedulable_gpus: All of them; None: not known.
        new_node_gpus: Those on nodes still to come; None: there are none such.
        n_pending: Replicas that wait for a node.
    """

    schedulable_gpus: int | None
    new_node_gpus: int | None
    n_pending: int
    gpus_per_replica: int

    def needs_new_node(self, starts: Sequence[RowMapping]) -> bool:
        """Whether the next start waits for a node, or earlier ones that did are on their way.

        Free GPUs go to the replicas that wait already, then to the next start.
        """
        if self.new_node_gpus is None or self.schedulable_gpus is None:
            return False
        here = (self.schedulable_gpus - self.new_node_gpus) // self.gpus_per_replica
        return here <= self.n_pending or any(
            start.get("is_new_node") and start["ready_at"] is None and start["gone_at"] is None
            for start in starts
        )


def rooms_of(state: RowMapping, spec: WorkloadSpec) -> dict[str, list[RoomOfTarget]]:
    """Rooms of a workload's target, or of its variants, by GPU type."""
    if not spec.variants:
        gpus, new = state["schedulable_gpus"], state["new_node_gpus"]
        room = RoomOfTarget(gpus, new, state["pending_replicas"], spec.gpus_per_replica)
        return {spec.gpu_type: [room]}
    found: dict[str, list[RoomOfTarget]] = {}
    for variant in spec.variants:
        own = (state["variants"] or {}).get(variant.name)
        if own is not None:
            gpus, new = own["schedulable_gpus"], own.get("new_node_gpus")
            room = RoomOfTarget(gpus, new, own["pending"], variant.gpus_per_replica)
            found.setdefault(variant.gpu_type, []).append(room)
    return found


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
    wanted = (own_scope(workload_id), type_scope(spec.gpu_type))
    return _draws(spec, wanted, known, known.new_nodes.get(spec.gpu_type))


def of_variants(workload_id: int, spec: WorkloadSpec, known: Known) -> dict[str, FloatArray]:
    """(P,) draws of each variant by name, each from the starts of its own GPU type."""
    by_type: dict[str, FloatArray] = {}
    for gpu_type in dict.fromkeys(v.gpu_type for v in spec.variants):
        starts = [s for s in known.starts if s["gpu_type"] == gpu_type]
        own = Known(known.fitted, starts, known.now)
        wanted = (own_scope(workload_id, gpu_type), type_scope(gpu_type))
        by_type[gpu_type] = _draws(spec, wanted, own, known.new_nodes.get(gpu_type))
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


def _draws(
    spec: WorkloadSpec, wanted: Sequence[str], known: Known, new_node: LeadTimeBelief | None
) -> FloatArray:
    """Draws of the first fitted scope of `wanted`, else as stated, updated with the starts.

    Starts that are still on their way count as right-censored at their present age. Starts on new
    nodes and on nodes that were there teach a law each.
    """
    fitted = next((known.fitted[scope] for scope in wanted if scope in known.fitted), None)
    if fitted is None:
        stated = spec.lead_time
        belief = LeadTimeBelief.from_median(stated.median_s, stated.sigma, PRIOR_STARTS)
    else:
        logs = np.log(np.maximum(fitted, 1e-3))
        belief = LeadTimeBelief(float(logs.mean()), float(logs.std()), PRIOR_STARTS, PRIOR_STARTS)
    if new_node is None:
        own = [start for start in known.starts if not start.get("is_new_node")]
        durations, ages = durations_of(own, known.now)
    else:
        durations, ages = _from_node_to_ready(known.starts, known.now)
    draws = predictive_draws(update_belief(belief, durations, ages, n_iterations=12), N_DRAWS)
    if new_node is not None:
        nodes = predictive_draws(new_node, N_DRAWS)
        draws = np.sort(draws + nodes[np.arange(N_DRAWS) * _STRIDE % N_DRAWS])
    return draws.astype(np.float32).astype(float)  # half the bytes of what a replay needs


def _from_node_to_ready(
    starts: Sequence[RowMapping], now: datetime
) -> tuple[FloatArray, FloatArray]:
    """The same of starts on new nodes, from when they were given the node."""
    on_new = [{**s, "requested_at": s["bound_at"]} for s in starts if s.get("is_new_node")]
    return durations_of(cast(Sequence[RowMapping], on_new), now)


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
