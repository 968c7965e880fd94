"""Variants of a workload between rows and the decider's values; pure.

A snapshot of a workload with variants holds each variant's replicas. Its totals are counted in
reference replicas: as many as the mix is worth in full.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

import numpy as np
from sqlalchemy import RowMapping

from decider import (
    FloatArray,
    InterruptionBelief,
    ReplicaState,
    SpotReplicas,
    SpotShare,
    VariantSet,
    VariantState,
    learn_interruptions,
    whole,
)
from services.kernel.domain import VariantSpec, WorkloadSpec
from services.kernel.domain.variants import VariantStart, unit_ages

NOT_FOUND = "its target was not seen"
GPUS_OF_NODE = 8
"""GPUs of a node of which nothing is known: as many as go together with one of the largest."""


@dataclass(frozen=True, slots=True)
class VariantInput:
    """Variants of one workload and their replicas, for a request.

    Attributes:
        variants: Its variants.
        replicas: Their totals in reference replicas.
        is_measured: The replicas were seen; where they were not, nothing is changed.
        moving: Variants that may be given replicas, or have some on their way.
    """

    variants: VariantSet
    replicas: ReplicaState
    is_measured: bool
    moving: tuple[str, ...] = ()


def variant_input(
    spec: WorkloadSpec,
    state: RowMapping | None,
    earlier: RowMapping | None,
    now: datetime,
    rates: Mapping[str, InterruptionBelief] = MappingProxyType({}),
    stuck_s: Mapping[str, float] = MappingProxyType({}),
) -> VariantInput:
    """Variants and totals of a workload that has variants.

    Args:
        spec: The workload.
        state: Its newest snapshot; None: there is none.
        earlier: Its newest decision, which stands in for a snapshot; None: there is none.
        now: Aware.
        rates: How often a spot node is interrupted, by GPU type; of those of which it was counted.
        stuck_s: Age in seconds beyond which a start is stuck, by variant; one that is absent has no
            starts that are too old.
    """
    seen: Mapping[str, Any] | None = None if state is None else state["variants"]
    if state is None or seen is None:
        known = {} if earlier is None else dict(desired_counts(earlier["variants"]))
        states = tuple(
            replace(to_state(spec, v, None), spec=known.get(v.name, v.min_replicas), held="")
            for v in spec.variants
        )
        variants = VariantSet(states)
        total = whole(variants.units(variants.current))
        return VariantInput(variants, ReplicaState(total, total), False)
    age_s = max(0.0, (now - state["observed_at"]).total_seconds())
    parts = tuple(
        _part(
            to_state(spec, v, seen.get(v.name), rates.get(v.gpu_type)),
            seen.get(v.name) or {},
            age_s,
            stuck_s.get(v.name, math.inf),
        )
        for v in spec.variants
    )
    variants = VariantSet(tuple(one.state for one in parts))
    moving = tuple(one.state.name for one in parts if one.is_moving)
    return VariantInput(variants, _totals(variants, parts), True, moving)


@dataclass(frozen=True, slots=True)
class _SeenVariant:
    """One variant in a snapshot.

    Attributes:
        ready: Replicas that serve and are not about to go.
        bound: Starts on their way that are on nodes, each with its age.
        pending: Those that wait for one.
    """

    state: VariantState
    ready: int
    bound: tuple[VariantStart, ...]
    pending: tuple[VariantStart, ...]

    @property
    def is_moving(self) -> bool:
        """It may be given replicas, or has some on their way."""
        one, free = self.state, self.state.schedulable_gpus
        has_room = not one.stuck and (free is None or free >= one.gpus_per_replica)
        may_rise = not one.held and one.spec < one.most and has_room
        return may_rise or bool(self.bound or self.pending)


def _part(
    state: VariantState, seen: Mapping[str, Any], age_s: float, stuck_s: float
) -> _SeenVariant:
    """A variant, its starts that will serve told from those that will not.

    Free GPUs go to those that wait for one, the oldest first, then to those that have no pod yet:
    a quota may refuse it. One that has waited for too long with GPUs free waits for something else.
    """
    ages = [max(0.0, float(age)) + age_s for age in seen.get("start_ages_s") or ()]
    n_bound = max(0, len(ages) - int(seen.get("pending", 0)))
    bound, pending = ([a for a in of if a <= stuck_s] for of in (ages[:n_bound], ages[n_bound:]))
    ready = max(0, int(seen.get("ready", 0)) - leaving_of_part(seen))
    n_stuck = len(ages) - len(bound) - len(pending)
    if state.schedulable_gpus is not None:
        n_free = state.schedulable_gpus // state.gpus_per_replica
        n_unmade = max(0, state.spec - ready - len(ages))
        n_stuck += max(0, len(pending) + n_unmade - n_free)
        pending = sorted(pending, reverse=True)[:n_free]
    return _SeenVariant(
        replace(state, stuck=min(n_stuck, max(0, state.spec - ready))),
        ready,
        tuple(VariantStart(age, state.capacity_ratio) for age in bound),
        tuple(VariantStart(age, state.capacity_ratio) for age in pending),
    )


def learned_spec(spec: WorkloadSpec, worth: FloatArray) -> WorkloadSpec:
    """A workload whose variants carry what was learned of them.

    Args:
        spec: The workload.
        worth: (V,) factor on what is stated of each variant but the first; empty: nothing was
            learned.
    """
    if not worth.size or (worth == 1.0).all():
        return spec
    first, *others = spec.variants
    stated = spec.capacity.per_replica
    learned = [
        v
        if factor == 1.0
        else v.model_copy(
            update={"capacity_per_replica": float(f"{v.ratio(stated) * stated * factor:.6g}")}
        )
        for v, factor in zip(others, worth.tolist(), strict=True)
    ]
    return spec.model_copy(update={"variants": (first, *learned)})


def ready_and_bound(spec: WorkloadSpec, state: RowMapping) -> tuple[int, int]:
    """Whole reference replicas of a snapshot that serve, and those that are on nodes."""
    seen = state["variants"] if spec.variants else None
    if seen is None:
        ready = int(state["ready_replicas"])
        return ready, ready + int(state["starting_replicas"])
    units = {"ready": 0.0, "starting": 0.0}
    for variant in spec.variants:
        found = seen.get(variant.name) or {}
        for name in units:
            units[name] += int(found.get(name, 0)) * variant.ratio(spec.capacity.per_replica)
    return whole(units["ready"]), whole(units["ready"] + units["starting"])


def with_lead_times(given: VariantInput, leads: Mapping[str, FloatArray]) -> VariantInput:
    """The variants with the median of their own lead times."""
    states = tuple(
        replace(v, lead_s=float(f"{np.median(leads[v.name]):.6g}")) for v in given.variants.states
    )
    return replace(given, variants=replace(given.variants, states=states))


def to_state(
    spec: WorkloadSpec,
    variant: VariantSpec,
    seen: Mapping[str, Any] | None,
    rate: InterruptionBelief | None = None,
) -> VariantState:
    """One variant; one whose target was not seen keeps what it has: nothing.

    Args:
        spec: The workload.
        variant: The variant.
        seen: Its part of the snapshot; None: its target was not seen.
        rate: How often a spot node of its GPU type is interrupted; None: nothing was counted.
    """
    ratio = variant.ratio(spec.capacity.per_replica)
    most = variant.max_replicas
    if most is None:
        most = max(variant.min_replicas, math.ceil(spec.max_replicas / ratio - 1e-9))
    found = seen or {}
    return VariantState(
        variant.name,
        variant.gpu_type,
        variant.gpus_per_replica,
        ratio,
        variant.price_usd_per_gpu_hour,
        variant.min_replicas,
        most,
        max(0, int(found.get("spec", 0)) - leaving_of_part(found)),
        int(found.get("pending", 0)),
        found.get("schedulable_gpus"),
        NOT_FOUND if seen is None else str(found.get("held") or ""),
        spot=_to_spot(variant, found, rate),
    )


def leaving_of_part(seen: Mapping[str, Any]) -> int:
    """Replicas of a variant or pool that serve on nodes about to go.

    They are neither asked for nor there any longer: the operator asks for as many more until they
    are gone.

    Args:
        seen: Its part of a snapshot.
    """
    return int((seen.get("spot") or {}).get("leaving", 0))


def _to_spot(
    variant: VariantSpec, seen: Mapping[str, Any], rate: InterruptionBelief | None
) -> SpotShare | None:
    """Which part of a variant is on spot nodes; None: none is, as far as is known.

    It is as of the replicas that serve and are not about to go. Where none does, and its pods can
    run on spot nodes alone, all of them will be there, a whole node of eight GPUs together.
    """
    spot = seen.get("spot")
    if not spot:
        return None
    belief = rate or learn_interruptions(0.0, 0.0)
    staying = int(seen.get("ready", 0)) - leaving_of_part(seen)
    replicas = min(staying, int(spot.get("replicas", 0)))
    nodes = max(1, min(replicas, int(spot.get("nodes", 0))))
    if staying <= 0 and spot.get("only"):
        replicas = staying = max(1, GPUS_OF_NODE // variant.gpus_per_replica)
        nodes = 1
    if replicas <= 0:
        return None
    places = SpotReplicas(replicas, nodes, belief.interruptions, belief.node_hours)
    return SpotShare(places, staying)


def _totals(variants: VariantSet, parts: Sequence[_SeenVariant]) -> ReplicaState:
    """Reference replicas that run, serve, and are on their way, each start with its age."""
    ready = sum(one.ready * one.state.capacity_ratio for one in parts)
    bound, total = unit_ages([start for one in parts for start in one.bound], ready)
    waiting, _ = unit_ages([start for one in parts for start in one.pending], total)
    spec = whole(variants.units(variants.current))
    return ReplicaState(spec, whole(ready), bound, waiting)


def desired_counts(stored: Sequence[Mapping[str, Any]] | None) -> list[tuple[str, int]]:
    """Name and count of each variant or pool of a stored decision."""
    return [(str(v["name"]), int(v["desired"])) for v in stored or ()]


@dataclass(frozen=True, slots=True)
class PartCount:
    """A decision about one variant or pool.

    Attributes:
        raw: Count wanted before the guards; None: of variants only their sum is wanted.
        capacity_ratio: Reference replicas that one of a variant is worth; None: as stated.
    """

    name: str
    gpu_type: str
    current: int
    desired: int
    raw: int | None = None
    capacity_ratio: float | None = None


def to_column(counts: Sequence[PartCount]) -> list[dict[str, object]] | None:
    """The value of the column `decisions.variants`; None: there is one target."""
    columns = [{name: v for name, v in asdict(c).items() if v is not None} for c in counts]
    return columns or None
