"""Lead times of a workload, and of each of its variants; pure.

What is believed is the fitted posterior, else what the spec states, updated with the starts of the
last hours. A pod has one GPU type: variants of one type share a lead time.

Where nodes are added for pods, a start on a free GPU begins with its place on a node: of a pod that
waits for one nothing is learned of it (`on_free_gpus`). It has a law for each cause, as far as they
differ: its image is on the node, or is pulled, or a snapshot is restored. How likely each is tells
the newest snapshot of the replicas, else the starts so far (`decider.belief.start_causes`).

A start that needs a new node waits for it first. Where that is so, the law is the sum of two: from
the request to the node, learned over all pods of the GPU type, and from the node to Ready, learned
of the workload's own starts on new nodes, whose images are cold.

Of the starts of one decision some may find a free GPU and the others need a node. A decision is
planned with one law, so it is a mixture of both (`RoomOfTarget.free_chance`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import cast

import numpy as np
from sqlalchemy import RowMapping

from decider import (
    LONG,
    SHORT,
    UNKNOWN,
    FloatArray,
    LeadTimeBelief,
    ObservedStarts,
    draws_of_either,
    learn_causes,
    mixed_draws,
    placed_share,
    predictive_draws,
    stuck_age_s,
    update_belief,
)
from services.kernel.domain import WorkloadSpec
from services.kernel.domain.lead_time import COLD, RESTORED, WARM

N_DRAWS = 64
CAUSES = (WARM, COLD, RESTORED, SHORT, LONG)
"""Causes that have a fitted law of their own."""
MOST_S = 7 * 86_400.0
"""No start is planned to take longer: a law of very few starts has no end."""
PRIOR_STARTS = 20.0
"""Starts that a stated or fitted lead time counts for against those of the last hours."""


@dataclass(frozen=True, slots=True)
class Known:
    """Evidence that lead times are learned from.

    Attributes:
        fitted: Draws of the fitted lead times by scope.
        starts: Pod starts of the workload, oldest first.
        now: Aware.
        new_nodes: Start-up of the node that the next start may need, by GPU type; a type that is
            absent needs none.
        free: Chance that the next start finds a free GPU all the same, by GPU type of those; a type
            that is absent has none.
        warm: Chance that the next start on a free GPU finds its image there, by GPU type; of a type
            that is absent nobody knows.
    """

    fitted: Mapping[str, FloatArray]
    starts: Sequence[RowMapping]
    now: datetime
    new_nodes: Mapping[str, LeadTimeBelief] = field(default_factory=dict)
    free: Mapping[str, float] = field(default_factory=dict)
    warm: Mapping[str, float] = field(default_factory=dict)


MOST_BESIDE_NEW_NODES = 7.0 / 8.0
"""Largest chance of a free GPU while a start on a new node is under way."""
N_LABELLED = 20
"""Newest starts that tell how many are restored, and how many a decision starts at once."""
TOGETHER_S = 10.0
"""Starts that were asked for within so long of each other are of one decision."""
_STRIDE = 37
"""Pairs draws of a node with draws of a start, out of step with each other."""


def node_startup(supply: RowMapping) -> LeadTimeBelief:
    """Law of the time from a pod's request to its place on a new node, from a row of `gpu_supply`.

    What is stated counts for four starts, as where it was learned.
    """
    n = 4.0 + float(supply["n_startups"])
    return LeadTimeBelief.from_median(supply["startup_median_s"], supply["startup_sigma"], n)


def free_chances(
    rooms: Mapping[str, Sequence[RoomOfTarget]], starts: Sequence[RowMapping]
) -> dict[str, float]:
    """Chance that the next start finds a free GPU, by GPU type; where it is certain none is told.

    Of several targets of a type the least: too few in time cost most.

    Args:
        rooms: Of a workload's targets.
        starts: Its starts, oldest first.
    """
    found = {}
    for gpu_type, of_type in rooms.items():
        own = [start for start in starts if start["gpu_type"] == gpu_type]
        least = min(room.free_chance(own) for room in of_type)
        if least < 1.0:
            found[gpu_type] = least
    return found


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
        warm_gpus: Free GPUs on nodes that have the images; None: nobody knows.
    """

    schedulable_gpus: int | None
    new_node_gpus: int | None
    n_pending: int
    gpus_per_replica: int
    warm_gpus: int | None = None

    @property
    def warm_ratio(self) -> float | None:
        """Share of the free GPUs that are on nodes with the images; None: nobody knows."""
        if self.warm_gpus is None or self.schedulable_gpus is None:
            return None
        here = self.schedulable_gpus - (self.new_node_gpus or 0)
        return min(1.0, self.warm_gpus / here) if here > 0 else None

    def free_chance(self, starts: Sequence[RowMapping]) -> float:
        """Chance that a start of the next decision finds a free GPU.

        Free GPUs go to the replicas that wait already, then to the starts of the decision, one
        after the other. How many they will be is what is being decided: as many as earlier ones
        were. While a start on a new node is under way an eighth of the law is of new nodes at
        least: how long it may yet take is read off the same draws.

        Args:
            starts: The workload's own on the type, oldest first.
        """
        if self.new_node_gpus is None or self.schedulable_gpus is None:
            return 1.0
        here = (self.schedulable_gpus - self.new_node_gpus) // self.gpus_per_replica
        share = placed_share(_together(starts), here - self.n_pending)
        is_coming = any(map(_is_coming_on_new_node, starts))
        return min(share, MOST_BESIDE_NEW_NODES) if is_coming else share


def _is_coming_on_new_node(start: RowMapping) -> bool:
    return bool(start.get("is_new_node")) and start["ready_at"] is None and start["gone_at"] is None


def _together(starts: Sequence[RowMapping]) -> tuple[int, ...]:
    """How many of the newest starts were asked for at once, each time."""
    asked = sorted(start["requested_at"] for start in starts)[-N_LABELLED:]
    sizes: list[int] = []
    for i, at in enumerate(asked):
        if i > 0 and (at - asked[i - 1]).total_seconds() < TOGETHER_S:
            sizes[-1] += 1
        else:
            sizes.append(1)
    return tuple(sizes)


def rooms_of(state: RowMapping, spec: WorkloadSpec) -> dict[str, list[RoomOfTarget]]:
    """Rooms of a workload's target, or of its variants, by GPU type."""
    if not spec.variants:
        gpus, new = state.get("schedulable_gpus"), state.get("new_node_gpus")
        warm = state.get("warm_gpus")
        room = RoomOfTarget(
            gpus, new, state.get("pending_replicas") or 0, spec.gpus_per_replica, warm
        )
        return {spec.gpu_type: [room]}
    found: dict[str, list[RoomOfTarget]] = {}
    for variant in spec.variants:
        own = (state["variants"] or {}).get(variant.name)
        if own is not None:
            gpus, new = own.get("schedulable_gpus"), own.get("new_node_gpus")
            warm = own.get("warm_gpus")
            room = RoomOfTarget(gpus, new, own["pending"], variant.gpus_per_replica, warm)
            found.setdefault(variant.gpu_type, []).append(room)
    return found


def warm_of(rooms: Mapping[str, Sequence[RoomOfTarget]]) -> dict[str, float]:
    """Chance that the next start finds its image, by GPU type, where snapshots tell.

    Of several targets of a type the least: too few in time cost most.
    """
    found = {}
    for gpu_type, of_type in rooms.items():
        ratios = [ratio for room in of_type if (ratio := room.warm_ratio) is not None]
        if ratios:
            found[gpu_type] = min(ratios)
    return found


def own_scope(workload_id: int, gpu_type: str = "") -> str:
    """Scope of a workload's own lead time; with a GPU type, of its replicas of that type."""
    return f"workload:{workload_id}/{gpu_type}" if gpu_type else f"workload:{workload_id}"


def type_scope(gpu_type: str) -> str:
    """Scope of the lead time of a new workload of a GPU type."""
    return f"gpu_type:{gpu_type}"


def cause_scope(scope: str, cause: str) -> str:
    """Scope of the starts of one cause."""
    return f"{scope}#{cause}"


def scopes(workload_id: int, spec: WorkloadSpec) -> list[str]:
    """Scopes of posteriors that a workload may use."""
    types = dict.fromkeys(part.gpu_type for part in spec.parts)
    own = [own_scope(workload_id), *(own_scope(workload_id, gpu_type) for gpu_type in types)]
    found = [*own, *map(type_scope, types or (spec.gpu_type,))]
    return [*found, *(cause_scope(scope, cause) for scope in found for cause in CAUSES)]


def of_workload(workload_id: int, spec: WorkloadSpec, known: Known) -> FloatArray:
    """(P,) draws for a workload without variants."""
    wanted = (own_scope(workload_id), type_scope(spec.gpu_type))
    return _draws(spec, wanted, known, spec.gpu_type)


def of_variants(workload_id: int, spec: WorkloadSpec, known: Known) -> dict[str, FloatArray]:
    """(P,) draws of each variant by name, each from the starts of its own GPU type."""
    by_type: dict[str, FloatArray] = {}
    for gpu_type in dict.fromkeys(v.gpu_type for v in spec.variants):
        starts = [s for s in known.starts if s["gpu_type"] == gpu_type]
        own = replace(known, starts=starts)
        wanted = (own_scope(workload_id, gpu_type), type_scope(gpu_type))
        by_type[gpu_type] = _draws(spec, wanted, own, gpu_type)
    return {v.name: by_type[v.gpu_type] for v in spec.variants}


def stuck_ages_s(workload_id: int, spec: WorkloadSpec, known: Known) -> dict[str, float]:
    """By variant, age in seconds beyond which a start is stuck, as finished ones alone tell."""
    done = replace(known, starts=[s for s in known.starts if s["ready_at"] is not None])
    leads = of_variants(workload_id, spec, done)
    return {name: stuck_age_s(draws) for name, draws in leads.items()}


def slowest(leads: Mapping[str, FloatArray], moving: Sequence[str] = ()) -> FloatArray:
    """Draws of the variant that takes longest by its median.

    Args:
        leads: Draws of each variant by name; at least one.
        moving: Variants that may be given replicas, or have some on their way; of these, where
            there are any.
    """
    chosen = [name for name in moving if name in leads] or list(leads)
    return leads[max(chosen, key=lambda name: float(np.median(leads[name])))]


def _draws(spec: WorkloadSpec, wanted: Sequence[str], known: Known, gpu_type: str) -> FloatArray:
    """Draws of the first fitted scope of `wanted`, else as stated, updated with the starts.

    Starts that are still on their way count as right-censored at their present age. Starts on new
    nodes and on nodes that were there teach laws of their own.
    """
    fitted = next((known.fitted[scope] for scope in wanted if scope in known.fitted), None)
    if fitted is None:
        stated = spec.lead_time
        belief = LeadTimeBelief.from_median(stated.median_s, stated.sigma, PRIOR_STARTS)
    else:
        belief = _fitted_belief(fitted)
    new_node = known.new_nodes.get(gpu_type)
    if new_node is None:
        draws = _on_free_gpu(belief, wanted, known, known.warm.get(gpu_type))
    else:
        durations, ages = _from_node_to_ready(known.starts, known.now)
        draws = predictive_draws(update_belief(belief, durations, ages, n_iterations=12), N_DRAWS)
        nodes = predictive_draws(new_node, N_DRAWS)
        draws = np.sort(draws + nodes[np.arange(N_DRAWS) * _STRIDE % N_DRAWS])
        chance = known.free.get(gpu_type, 0.0)
        if chance > 0.0:
            here = _on_free_gpu(belief, wanted, known, known.warm.get(gpu_type))
            draws = draws_of_either(here, draws, chance)
    draws = np.minimum(draws, MOST_S)
    return draws.astype(np.float32).astype(float)  # half the bytes of what a replay needs


def _fitted_belief(draws: FloatArray) -> LeadTimeBelief:
    logs = np.log(np.maximum(draws, 1e-3))
    return LeadTimeBelief(float(logs.mean()), float(logs.std()), PRIOR_STARTS, PRIOR_STARTS)


def _on_free_gpu(
    belief: LeadTimeBelief, wanted: Sequence[str], known: Known, warm: float | None
) -> FloatArray:
    """(P,) draws of a start on a GPU that is free, by what it may have to do first."""
    starts = observed_starts(on_free_gpus(known.starts), known.now)
    by_cause: dict[str, LeadTimeBelief] = {}
    for scope in reversed(wanted):
        of_scope = {cause: known.fitted.get(cause_scope(scope, cause)) for cause in CAUSES}
        by_cause |= {c: _fitted_belief(draws) for c, draws in of_scope.items() if draws is not None}
    laws = learn_causes(belief, starts, by_cause)
    return mixed_draws(laws, N_DRAWS, _chances([law.cause for law in laws], known.starts, warm))


def _chances(
    causes: Sequence[str], starts: Sequence[RowMapping], warm: float | None
) -> dict[str, float]:
    """How likely the next start is of each cause, as far as the cluster tells.

    Of what nothing is told the shares of the starts hold. Where some of the last starts were
    restored, as many of the next are. Of the others as many are warm as free GPUs are on nodes with
    the images, and as of the last starts were, half each: what schedules pods may prefer such
    nodes, and other nodes are free by the time that a start is placed.
    """
    if warm is None or not {WARM, COLD}.issubset(causes):
        return {}
    told = [s["cause"] for s in starts if s.get("cause") is not None][-N_LABELLED:]
    restored = told.count(RESTORED) / len(told) if told and RESTORED in causes else 0.0
    n_warm, n_told = told.count(WARM), told.count(WARM) + told.count(COLD)
    warm = (N_LABELLED * warm + n_warm) / (N_LABELLED + n_told)
    return {
        RESTORED: restored,
        WARM: (1.0 - restored) * warm,
        COLD: (1.0 - restored) * (1.0 - warm),
    }


def _from_node_to_ready(
    starts: Sequence[RowMapping], now: datetime
) -> tuple[FloatArray, FloatArray]:
    """The same of starts on new nodes, from when they were given the node."""
    return durations_of([_from_its_place(s) for s in starts if s.get("is_new_node")], now)


def on_free_gpus(starts: Sequence[RowMapping]) -> list[RowMapping]:
    """Starts that tell what one on a free GPU takes, each from when it began.

    Where nodes are added for pods (`is_provisioned`) a pod may wait for one as long as none can be
    had. That is no start on a free GPU before it has a place, nor ever where it gets none.
    """
    found: list[RowMapping] = []
    for start in starts:
        if start.get("is_new_node"):
            continue
        if not start.get("is_provisioned"):
            found.append(start)
        elif start["bound_at"] is not None:
            found.append(_from_its_place(start))
        elif start["ready_at"] is not None:  # nobody saw when it was given its place
            found.append(start)
    return found


def _from_its_place(start: RowMapping) -> RowMapping:
    return cast(RowMapping, {**start, "requested_at": start["bound_at"]})


def observed_starts(starts: Sequence[RowMapping], now: datetime) -> ObservedStarts:
    """Starts with their causes, finished ones first.

    A pod that went away before it was ready is censored at the time it went.
    """
    done: list[tuple[float, str]] = []
    open_: list[tuple[float, str]] = []
    for start in starts:
        is_done = start["ready_at"] is not None
        until = start["ready_at"] if is_done else start["gone_at"] or now
        seconds = (until - start["requested_at"]).total_seconds()
        if seconds > 0:
            (done if is_done else open_).append((seconds, start.get("cause") or UNKNOWN))
    every = [*done, *open_]
    return ObservedStarts(
        np.array([seconds for seconds, _ in every], dtype=float),
        np.arange(len(every)) >= len(done),
        tuple(cause for _, cause in every),
    )


def durations_of(starts: Sequence[RowMapping], now: datetime) -> tuple[FloatArray, FloatArray]:
    """Lead times of finished starts and ages of those on their way, in seconds."""
    found = observed_starts(starts, now)
    return found.seconds[~found.is_censored], found.seconds[found.is_censored]
