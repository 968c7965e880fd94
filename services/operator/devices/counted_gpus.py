"""GPUs of a replica as its pods ask for them, where the spec states fewer; pure.

Budgets, ceilings, costs and showback count by `gpusPerReplica`. A field that was left out or is too
small would let a service hold several times what is counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from services.kernel.domain import WorkloadSpec
from services.operator.cluster.targets import TargetState
from services.operator.resource.autoscaler import Autoscaler, ScaleTarget, TargetKey

MOST = 64
"""No spec may state more GPUs of a replica."""


def gpus_asked(autoscaler: Autoscaler, states: Mapping[TargetKey, TargetState]) -> tuple[int, ...]:
    """GPUs that a replica of each target asks for by name; 0: not known.

    What pods claim of dynamic resource allocation may be shared, and is left as it is stated.

    Args:
        autoscaler: As it was translated.
        states: Its targets, as far as they are there.
    """
    found = (states.get(target.key) for target in autoscaler.targets)
    return tuple(
        0 if state is None or state.claims else sum(pod.gpus for pod in state.shape)
        for state in found
    )


def with_counted_gpus(autoscaler: Autoscaler, asked: Sequence[int]) -> Autoscaler:
    """The autoscaler with what its pods ask for, where that is more than it states.

    Args:
        autoscaler: As it was translated.
        asked: Of each of its targets, as `gpus_asked` gives it.
    """
    spec, found = autoscaler.spec, [min(MOST, gpus) for gpus in asked]
    if spec is None:
        return autoscaler
    if autoscaler.parts:
        return _with_counted_parts(autoscaler, spec, found)
    if found[0] <= spec.gpus_per_replica:
        return autoscaler
    note = _note(autoscaler.target, found[0], spec.gpus_per_replica)
    counted = spec.model_copy(update={"gpus_per_replica": found[0]})
    return replace(autoscaler, spec=counted, gpus_note=note)


def _with_counted_parts(
    autoscaler: Autoscaler, spec: WorkloadSpec, asked: Sequence[int]
) -> Autoscaler:
    notes, parts = [], []
    for part, gpus in zip(autoscaler.parts, asked, strict=True):
        stated = part.spec.gpus_per_replica
        if gpus > stated:
            notes.append(_note(part.target, gpus, stated))
            own = part.spec.model_copy(update={"gpus_per_replica": gpus})
            parts.append(replace(part, spec=own))
        else:
            parts.append(part)
    if not notes:
        return autoscaler
    by_name = {part.name: part.spec for part in parts}
    changed = {
        kind: tuple(by_name.get(one.name, one) for one in getattr(spec, kind))
        for kind in ("variants", "pools")
    }
    first = parts[0].spec.gpus_per_replica
    counted = spec.model_copy(update={**changed, "gpus_per_replica": first})
    return replace(autoscaler, spec=counted, parts=tuple(parts), gpus_note="; ".join(notes))


def _note(target: ScaleTarget, asked: int, stated: int) -> str:
    return (
        f"a replica of {target.label} asks for {asked} GPUs and gpusPerReplica says {stated}: "
        f"{asked} are counted; set gpusPerReplica: {asked}"
    )
