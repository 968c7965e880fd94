"""What a replica counts as under budgets, ceilings and in costs, beside what its spec states; pure.

Budgets, ceilings, costs and showback count by `gpuType` and `gpusPerReplica`. A field that was left
out or is too small would let a service hold several times what is counted, and a type in another
spelling would let it pass by every budget, while nodes are told by either.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from services.kernel.domain.parts import PartSpec
from services.kernel.domain.workload import WorkloadSpec
from services.operator.cluster.gpu_types import is_product
from services.operator.cluster.targets import TargetState
from services.operator.resource.autoscaler import Autoscaler, ScaleTarget, TargetKey

ANY_TYPE = "*"
MOST = 64
"""No spec may state more GPUs of a replica."""

_Change = tuple[dict[str, Any], tuple[str, ...]]
"""Fields of a spec that count otherwise, and why."""


def budget_types(budgets: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """GPU types of which there is a budget, from the objects; in order."""
    specs = (each.get("spec") or {} for each in budgets)
    found = {kind for spec in specs if isinstance(kind := spec.get("gpuType"), str)}
    return tuple(sorted(found - {ANY_TYPE, ""}))


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


def as_counted(
    autoscaler: Autoscaler, asked: Sequence[int], budget_types: Sequence[str]
) -> Autoscaler:
    """The autoscaler with the GPUs of its pods, where they are more, and with budgets' spellings.

    Args:
        autoscaler: As it was translated.
        asked: Of each of its targets, as `gpus_asked` gives it.
        budget_types: GPU types of which there is a budget.
    """
    spec = autoscaler.spec
    if spec is None:
        return autoscaler
    specs: Sequence[WorkloadSpec | PartSpec]
    specs = [part.spec for part in autoscaler.parts] or [spec]
    changes = [
        _change(target, own, gpus, budget_types)
        for target, own, gpus in zip(autoscaler.targets, specs, asked, strict=True)
    ]
    note = "; ".join(why for _, whys in changes for why in whys)
    if not any(fields for fields, _ in changes):
        return replace(autoscaler, counted_note=note) if note else autoscaler
    first = changes[0][0]
    if not autoscaler.parts:
        return replace(autoscaler, spec=spec.model_copy(update=first), counted_note=note)
    parts = tuple(
        replace(part, spec=part.spec.model_copy(update=fields)) if fields else part
        for part, (fields, _) in zip(autoscaler.parts, changes, strict=True)
    )
    by_name = {part.name: part.spec for part in parts}
    own_parts = {
        kind: tuple(by_name.get(one.name, one) for one in getattr(spec, kind))
        for kind in ("variants", "pools")
    }
    whole = spec.model_copy(update={**own_parts, **first})
    return replace(autoscaler, spec=whole, parts=parts, counted_note=note)


def _change(
    target: ScaleTarget, spec: WorkloadSpec | PartSpec, asked: int, budget_types: Sequence[str]
) -> _Change:
    fields: dict[str, Any] = {}
    whys = []
    gpus, stated = min(MOST, asked), spec.gpus_per_replica
    if gpus > stated:
        fields["gpus_per_replica"] = gpus
        whys.append(
            f"a replica of {target.label} asks for {gpus} GPUs and gpusPerReplica says {stated}: "
            f"{gpus} are counted; set gpusPerReplica: {gpus}"
        )
    kind = spec.gpu_type
    same = [each for each in budget_types if each.casefold() == kind.casefold()]
    beside = [each for each in budget_types if is_product(kind, each) or is_product(each, kind)]
    if same and kind not in same:
        fields["gpu_type"] = same[0]
        whys.append(f"gpuType {kind} is counted as {same[0]}, as its GPUBudget spells it")
    elif not same and beside:
        whys.append(
            f"gpuType {kind} is under no GPUBudget, and {beside[0]} is of the same GPUs: write "
            f"gpuType: {beside[0]} to be under it, or make a GPUBudget of {kind}"
        )
    return fields, tuple(whys)
