"""Indicators of a written spec -> those of a `WorkloadSpec`: its own, and those of its presets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from services.kernel.domain import FurtherLoadSpec, IndicatorSpec
from services.kernel.domain.presets import demand_counts, preset_indicators
from services.kernel.domain.workload import LoadCounts
from services.operator.resource import spec as schemas


def indicators(written: schemas.GPUAutoscalerSpec, namespace: str) -> tuple[IndicatorSpec, ...]:
    """The indicators that are written out, then those of the presets whose names are not taken.

    Offered loads of presets are measured only where the spec names them: they are costly queries.

    Args:
        written: The spec.
        namespace: Namespace of the object, which is that of its targets.

    Raises:
        ValueError: There are neither indicators nor presets.
    """
    own = tuple(IndicatorSpec(**one.model_dump()) for one in written.indicators or ())
    presets = written.indicators_from or ()
    if not own and not presets:
        raise ValueError("give indicators, indicatorsFrom or both")
    taken = {indicator.name for indicator in own}
    found = _of_presets(written, namespace, presets) if presets else {}
    return (*own, *(indicator for name, indicator in found.items() if name not in taken))


def _of_presets(
    written: schemas.GPUAutoscalerSpec, namespace: str, presets: Sequence[str]
) -> dict[str, IndicatorSpec]:
    """Indicators of presets by name.

    The loads of a pool are measured at that pool alone: a request passes all of them. So is its
    occupancy: the mean over all pods says of no pool how full it is.
    """
    loads = _loads(written)
    measured = preset_indicators(presets, namespace, targets(written), loads)
    found = {indicator.name: indicator for indicator in measured}
    for pool in written.pools or ():
        of_pool = preset_indicators(presets, namespace, (pool.scale_target_ref.name,), loads)
        own = (*pool.bound_by, pool.occupancy_indicator)
        found |= {one.name: one for one in of_pool if one.name in own}
    return found


def read_demand_counts(
    written: schemas.GPUAutoscalerSpec, measured: tuple[IndicatorSpec, ...]
) -> LoadCounts:
    """What the demand counts: as it is written, else as its query tells."""
    return _counts(written.demand_counts, written.demand, measured)


def read_further_loads(
    written: schemas.Capacity, measured: tuple[IndicatorSpec, ...]
) -> tuple[FurtherLoadSpec, ...]:
    """The further loads, each with what it counts."""
    return tuple(
        FurtherLoadSpec(
            indicator=load.indicator,
            per_replica=load.per_replica,
            counts=_counts(load.counts, load.indicator, measured),
        )
        for load in written.also_bound_by or ()
    )


def _counts(
    written: Literal["Arrivals", "Served"] | None, name: str, measured: tuple[IndicatorSpec, ...]
) -> LoadCounts:
    if written is not None:
        return "arrives" if written == "Arrivals" else "served"
    queries = {indicator.name: indicator.query for indicator in measured}
    return demand_counts(queries.get(name, ""))


def _loads(written: schemas.GPUAutoscalerSpec) -> tuple[str, ...]:
    """Names of the loads of a spec."""
    further = written.capacity.also_bound_by or ()
    return (written.demand, *(load.indicator for load in further))


def targets(written: schemas.GPUAutoscalerSpec) -> tuple[str, ...]:
    """Names of what is scaled: the target, or that of each variant or pool.

    Raises:
        ValueError: There is none.
    """
    references = [part.scale_target_ref for part in written.variants or written.pools or ()]
    if written.scale_target_ref is not None:
        references.append(written.scale_target_ref)
    if not references:
        raise ValueError("give scaleTargetRef and gpuType, or variants, or pools")
    return tuple(dict.fromkeys(reference.name for reference in references))
