"""Workloads as ingest sees them; specs are parsed once per version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.ingest.samples import allows_negative
from services.kernel.domain import WorkloadSpec


@dataclass(frozen=True, slots=True)
class IndicatorRef:
    """One indicator of a workload.

    Attributes:
        name: Its name.
        is_counter: Differenced to a rate; else averaged.
        is_signed: Values below zero are possible.
        query: PromQL; empty when it is pushed.
    """

    name: str
    is_counter: bool
    is_signed: bool
    query: str


@dataclass(frozen=True, slots=True)
class WorkloadRef:
    """What ingest needs to know of a workload."""

    id: int
    namespace: str
    name: str
    shard: int
    step_s: int
    indicators: Mapping[str, IndicatorRef]

    @property
    def has_query(self) -> bool:
        """Whether any indicator is pulled from Prometheus."""
        return any(indicator.query for indicator in self.indicators.values())


@dataclass(frozen=True, slots=True)
class WorkloadRow:
    """Columns of one row of `workloads`."""

    id: int
    namespace: str
    name: str
    shard: int
    step_s: int
    spec_version: int
    spec: Mapping[str, object]


@dataclass(slots=True)
class WorkloadCatalog:
    """Keeps what was made of each workload's spec until its version changes."""

    _known: dict[int, tuple[tuple[int, int, int], WorkloadRef]] = field(default_factory=dict)

    def ref(self, row: WorkloadRow) -> WorkloadRef:
        """The workload of `row`."""
        version = (row.spec_version, row.shard, row.step_s)
        known = self._known.get(row.id)
        if known is not None and known[0] == version:
            return known[1]
        ref = to_workload_ref(row)
        self._known[row.id] = (version, ref)
        return ref


def to_workload_ref(row: WorkloadRow) -> WorkloadRef:
    """Parse the spec of `row`."""
    spec = WorkloadSpec.model_validate(row.spec)
    indicators = {
        indicator.name: IndicatorRef(
            indicator.name,
            indicator.kind == "counter",
            indicator.kind == "gauge" and allows_negative(indicator.unit),
            indicator.query,
        )
        for indicator in spec.indicators
    }
    return WorkloadRef(row.id, row.namespace, row.name, row.shard, row.step_s, indicators)
