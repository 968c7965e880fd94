"""Workloads as ingest sees them; specs are parsed once per version."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from services.ingest.series.plausible import largest_loads
from services.ingest.series.samples import LARGEST_VALUE, allows_negative
from services.kernel.domain import known_spec
from services.kernel.domain.objective import ObjectiveSpec, SliSeriesSpec, series_names


@dataclass(frozen=True, slots=True)
class IndicatorRef:
    """One indicator of a workload.

    Attributes:
        name: Its name.
        is_counter: Differenced to a rate; else averaged.
        is_signed: Values below zero are possible.
        query: PromQL; empty when it is pushed.
        is_known_ahead: May be pushed for steps to come.
        is_absent_zero: A step for which its query gives nothing counts as 0.
        is_sli: It counts what an objective is measured by; no model reads it, so it neither makes
            a step due nor is waited for.
        largest: Largest plausible value of a load, of a counter that of its rate; None: it is no
            load.
    """

    name: str
    is_counter: bool
    is_signed: bool
    query: str
    is_known_ahead: bool = False
    is_absent_zero: bool = False
    is_sli: bool = False
    largest: float | None = None

    @property
    def largest_sample(self) -> float:
        """Largest plausible sample: a counter's grows with its age, so that it tells nothing."""
        return LARGEST_VALUE if self.largest is None or self.is_counter else self.largest

    @property
    def is_gauge_load(self) -> bool:
        """True where it is a load, and a single sample tells whether that is plausible."""
        return self.largest is not None and not self.is_counter

    @property
    def largest_step(self) -> float:
        """Largest plausible value of a step; infinity: of no load, only samples have a bound."""
        return math.inf if self.largest is None else self.largest

    @property
    def is_pacing(self) -> bool:
        """True where its samples tell how far the workload has come."""
        return not (self.is_known_ahead or self.is_sli)


class WorkloadName(NamedTuple):
    """Names that a sender gives a workload by."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class WorkloadRef:
    """A workload, as far as ingest needs to know it.

    Attributes:
        indicators: By name, those of its spec first, then the counts of its objective.
        thresholds_s: Of each goal of its objective that is a latency, by its metric.
        spec_version: Version of the spec that it was made of.
    """

    id: int
    namespace: str
    name: str
    shard: int
    step_s: int
    indicators: Mapping[str, IndicatorRef]
    thresholds_s: Mapping[str, float] = field(default_factory=dict)
    spec_version: int = 0

    @property
    def has_query(self) -> bool:
        """True where any indicator is pulled from a source."""
        return any(indicator.query for indicator in self.indicators.values())

    @property
    def is_pulled(self) -> bool:
        """True where an indicator that paces it is pulled."""
        return any(one.query for one in self.indicators.values() if one.is_pacing)

    @property
    def first_measured(self) -> str:
        """Name of its first indicator that paces it; the demand is one of these."""
        return next(name for name, one in self.indicators.items() if one.is_pacing)

    def names(self, *, is_sli: bool) -> list[str]:
        """Names of the counts of its objective, or of all other indicators."""
        return [name for name, one in self.indicators.items() if one.is_sli == is_sli]


@dataclass(frozen=True, slots=True)
class WorkloadColumns:
    """Columns of one row of `workloads`."""

    id: int
    namespace: str
    name: str
    shard: int
    step_s: int
    spec_version: int

    @property
    def version(self) -> tuple[int, int, int]:
        """Changes with everything that a `WorkloadRef` is made of."""
        return self.spec_version, self.shard, self.step_s


@dataclass(slots=True)
class WorkloadCatalog:
    """Keeps what was made of each workload's spec until its version changes."""

    _known: dict[int, tuple[tuple[int, int, int], WorkloadRef]] = field(default_factory=dict)

    def known(self, row: WorkloadColumns) -> WorkloadRef | None:
        """The workload of `row`; None when its spec is new or has changed."""
        version, ref = self._known.get(row.id, (None, None))
        return ref if version == row.version else None

    def learn(self, row: WorkloadColumns, spec: object) -> WorkloadRef:
        """Parse the spec of `row` and keep it."""
        ref = to_workload_ref(row, spec)
        self._known[row.id] = (row.version, ref)
        return ref


def to_workload_ref(row: WorkloadColumns, raw_spec: object) -> WorkloadRef:
    """The workload of `row` with this spec."""
    spec = known_spec(raw_spec)
    largest = largest_loads(spec)
    indicators = {
        indicator.name: IndicatorRef(
            indicator.name,
            indicator.kind == "counter",
            indicator.kind == "gauge" and allows_negative(indicator.unit),
            indicator.query,
            indicator.is_known_ahead,
            indicator.gap == "Zero",
            largest=largest.get(indicator.name),
        )
        for indicator in spec.indicators
    }
    thresholds_s: dict[str, float] = {}
    if spec.sla.objective is not None:
        goals = spec.sla.objective.goals
        indicators |= {one.name: one for one in _to_counts(spec.sla.objective)}
        thresholds_s = {one.metric: one.threshold_s for one in goals if one.threshold_s}
    place = (row.id, row.namespace, row.name, row.shard, row.step_s)
    return WorkloadRef(*place, indicators, thresholds_s, row.spec_version)


def _to_counts(objective: ObjectiveSpec) -> list[IndicatorRef]:
    """The series that an objective is counted with; those that it has no entry of are pushed."""
    given = {one.name: one for one in objective.series}
    names = series_names(objective.goals)
    series = [given.get(name, SliSeriesSpec(name=name)) for name in names]
    return [
        IndicatorRef(one.name, one.is_counter, is_signed=False, query=one.query, is_sli=True)
        for one in series
    ]
