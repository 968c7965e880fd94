"""CEL rules that admission checks in addition to types, each at the field that it is about.

They refuse what the services' own models (`services.kernel.domain`) would refuse later, so that a
user sees the problem at `kubectl apply` and not in a condition. A check that needs more than the
object itself (whether a target, a class or a time zone exists) becomes a condition.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.kernel.domain.lead_time import MOST_MEDIAN_S
from services.kernel.domain.objective import MOST_THRESHOLD_S, SERIES_PREFIX
from services.kernel.domain.parts import MOST_USD_PER_GPU_HOUR
from services.kernel.domain.presets import PRESETS, REPLICA_PRESETS
from services.kernel.domain.shares import LEAST, MOST, SHARE_RULE


@dataclass(frozen=True, slots=True)
class CelRule:
    """A CEL rule at one place of the schema, e.g. `spec.sla.risk`."""

    path: str
    rule: str
    message: str


def _number(name: str) -> str:
    """A decimal field as a number; it is a string or an integer."""
    return f"double(string(self.{name}))"


def _positive(path: str, name: str) -> CelRule:
    return CelRule(path, f"{_number(name)} > 0.0", f"{name} must be greater than 0")


def _at_most(path: str, name: str, limit: int) -> CelRule:
    rule = f"!has(self.{name}) || {_number(name)} <= {limit}.0"
    return CelRule(path, rule, f"{name} must not be greater than {limit}")


def _lasting(path: str, name: str) -> CelRule:
    """A duration that is longer than nothing: one of its digits is not zero."""
    rule = f"!has(self.{name}) || self.{name}.matches('[1-9]')"
    return CelRule(path, rule, f"{name} must be longer than 0")


def _no_longer(path: str, name: str, most_s: float) -> CelRule:
    """A duration with an upper bound; of days, which CEL has no word for, the operator tells."""
    most = f"{most_s / 3600:.0f}h"
    rule = (
        f"!has(self.{name}) || self.{name}.contains('d') || "
        f"duration(self.{name}) <= duration('{most}')"
    )
    return CelRule(path, rule, f"{name} must not be longer than {most}")


def risk_rules(path: str) -> tuple[CelRule, ...]:
    """Rules of a promise."""
    epsilon = _number("epsilon")
    message = f'epsilon {SHARE_RULE}, e.g. "0.01" for at most 1 %'
    rule = f"{epsilon} >= {LEAST} && {epsilon} <= {MOST}"
    return CelRule(path, rule, message), _lasting(path, "window")


def objective_rules(path: str, *, has_choice: bool = False) -> tuple[CelRule, ...]:
    """Rules of what requests are to feel; `has_choice`: goals may be left out."""
    share = _number("share")
    found = (
        CelRule(
            path,
            f"!has(self.share) || ({share} >= {LEAST} && {share} <= {MOST})",
            f'share {SHARE_RULE}, e.g. "0.95"',
        ),
        CelRule(
            f"{path}.goals[]",
            "(self.metric == 'errors') != has(self.threshold)",
            "threshold is needed for each latency; errors have none",
        ),
        _lasting(f"{path}.goals[]", "threshold"),
        _no_longer(f"{path}.goals[]", "threshold", MOST_THRESHOLD_S),
    )
    return (*found, *_choice_rules(path)) if has_choice else found


def _choice_rules(path: str) -> tuple[CelRule, ...]:
    return (
        CelRule(
            path,
            "has(self.goals) != has(self.metric) && has(self.metric) == has(self.threshold)",
            "objective needs either goals, or one metric with its threshold",
        ),
        CelRule(
            path,
            "!has(self.share) || has(self.goals)",
            "share goes with goals; the percentile of a metric is its share",
        ),
        CelRule(
            f"{path}.goals[]",
            "self.metric == 'errors' ? !has(self.goodQuery) : "
            "has(self.goodQuery) == has(self.totalQuery)",
            "goodQuery and totalQuery must be given together or not at all; errors have a "
            "totalQuery only",
        ),
    )


def tokens_rule(path: str) -> CelRule:
    """A share of requests is not counted in tokens; at a node with a risk and an objective."""
    return CelRule(
        path,
        "!has(self.objective) || !has(self.objective.goals) || !has(self.risk) || "
        "self.risk.kind != 'DemandFraction' || "
        "!self.objective.goals.exists(g, g.metric == 'itl')",
        "an itl goal counts tokens, and kind DemandFraction promises a share of requests: use "
        "tpot, or kind TimeFraction",
    )


def _within(name: str) -> str:
    """A schedule's bound, where it has one, lies within those of the spec."""
    bound = f"s.{name}"
    return f"(!has({bound}) || ({bound} >= self.minReplicas && {bound} <= self.maxReplicas))"


def _of_presets(name: str, unit: str = "") -> str:
    """An indicator that one of the presets has, of any unit or of the one given."""
    cases = []
    for preset in sorted(REPLICA_PRESETS):
        found = [i.name for i in PRESETS[preset].indicators if unit in ("", i.unit)]
        if found:
            cases.append(f"('{preset}' in self.indicatorsFrom && {name} in {found})")
    return f"(has(self.indicatorsFrom) && ({' || '.join(cases)}))"


def _own(condition: str) -> str:
    """One of the indicators that are written out meets a condition on `i`."""
    return f"(has(self.indicators) && self.indicators.exists(i, {condition}))"


_LATENCY = "self.capacity.latencyIndicator"
_IS_LATENCY = f"i.name == {_LATENCY}"
_IS_MEASURED_MS = (
    "i.kind == 'gauge' && !i.knownAhead && i.gap == 'Unknown' && "
    "(i.name.endsWith('_ms') || i.unit == 'ms')"
)
_PRESET_MS = f"(!{_own(_IS_LATENCY)} && {_of_presets(_LATENCY, unit='ms')})"

_FURTHER = "self.capacity.alsoBoundBy"
_IS_FURTHER = "i.name == l.indicator"
_PRESET_LOAD = f"(!{_own(_IS_FURTHER)} && {_of_presets('l.indicator')})"

_IS_OCCUPANCY = "i.name == p.occupancyIndicator"
_IS_MEASURED_RATIO = (
    "i.kind == 'gauge' && !i.knownAhead && i.gap == 'Unknown' && i.unit in ['', 'ratio']"
)
_PRESET_RATIO = f"(!{_own(_IS_OCCUPANCY)} && {_of_presets('p.occupancyIndicator', unit='ratio')})"

_HAS_PARTS = "(has(self.variants) || has(self.pools))"


def _part_rules(word: str, has_bounds: str) -> tuple[CelRule, ...]:
    """Rules of variants or pools; `has_bounds`: a part has both bounds."""
    path = f"spec.{word}s"
    return (
        CelRule(
            path,
            "self.all(v, self.exists_one(w, w.scaleTargetRef.kind == v.scaleTargetRef.kind && "
            "w.scaleTargetRef.name == v.scaleTargetRef.name))",
            f"each {word} must have a scaleTargetRef of its own",
        ),
        CelRule(
            f"{path}[]",
            f"!({has_bounds}) || self.minReplicas <= self.maxReplicas",
            f"a {word}'s minReplicas must not be greater than its maxReplicas",
        ),
        _at_most(f"{path}[].cost", "perGpuHour", MOST_USD_PER_GPU_HOUR),
    )


GPU_AUTOSCALER_RULES = (
    CelRule(
        "spec",
        "self.minReplicas <= self.maxReplicas",
        "minReplicas must not be greater than maxReplicas",
    ),
    CelRule(
        "spec",
        "has(self.indicators) || has(self.indicatorsFrom)",
        "give indicators, indicatorsFrom or both",
    ),
    CelRule(
        "spec",
        f"{_own('i.name == self.demand')} || {_of_presets('self.demand')}",
        "demand must be the name of one of the indicators, or of one of a preset's",
    ),
    CelRule(
        "spec",
        f"!{_own('i.name == self.demand && i.knownAhead')}",
        "demand must not be known ahead: it is what is forecast",
    ),
    CelRule(
        "spec",
        "self.mode != 'Auto' || has(self.sla)",
        "mode Auto needs an sla: set sla.class or sla.risk.epsilon",
    ),
    CelRule(
        "spec",
        f"!has({_LATENCY}) || ({_LATENCY} != self.demand && "
        f"({_own(f'{_IS_LATENCY} && {_IS_MEASURED_MS}')} || {_PRESET_MS}))",
        "capacity.latencyIndicator must be the name of another indicator than the demand: a gauge "
        "in ms that is measured, not known ahead, and whose gap is Unknown",
    ),
    CelRule(
        "spec",
        f"!has({_FURTHER}) || {_FURTHER}.all(l, {_own(f'{_IS_FURTHER} && !i.knownAhead')} || "
        f"{_PRESET_LOAD})",
        "each indicator of capacity.alsoBoundBy must be the name of one of the indicators, or of "
        "one of a preset's, and not known ahead: a load is measured and forecast",
    ),
    CelRule(
        "spec",
        f"!has({_FURTHER}) || {_FURTHER}.all(l, l.indicator != self.demand && "
        f"(!has({_LATENCY}) || l.indicator != {_LATENCY}))",
        "an indicator of capacity.alsoBoundBy must be another one than the demand, which "
        "perReplica bounds, and than the latencyIndicator",
    ),
    CelRule(
        "spec",
        f"!has(self.schedules) || self.schedules.all(s, {_within('minReplicas')} && "
        f"{_within('maxReplicas')})",
        "minReplicas and maxReplicas of a schedule must lie between those of the spec",
    ),
    CelRule(
        "spec",
        "!has(self.fallback) || self.fallback.staticReplicas <= self.maxReplicas",
        "fallback.staticReplicas must not be greater than maxReplicas",
    ),
    CelRule(
        "spec",
        f"{_HAS_PARTS} != has(self.scaleTargetRef)",
        "give either scaleTargetRef or variants or pools, each of which has its own",
    ),
    CelRule("spec", "!has(self.variants) || !has(self.pools)", "give either variants or pools"),
    CelRule(
        "spec",
        f"{_HAS_PARTS} != has(self.gpuType)",
        "give gpuType with scaleTargetRef, or one in each of the variants or pools",
    ),
    CelRule(
        "spec",
        f"!{_HAS_PARTS} || (self.gpusPerReplica == 1 && !has(self.cost))",
        "with variants or pools gpusPerReplica and cost belong to each of them",
    ),
    *_part_rules("variant", "has(self.maxReplicas)"),
    _positive("spec.variants[].capacity", "perReplica"),
    *_part_rules("pool", "has(self.minReplicas) && has(self.maxReplicas)"),
    _lasting("spec.pools[].leadTime", "median"),
    _no_longer("spec.pools[].leadTime", "median", MOST_MEDIAN_S),
    _at_most("spec.pools[].leadTime", "sigma", 3),
    CelRule(
        "spec",
        f"!has(self.pools) || self.pools.all(p, p.boundBy.all(l, l == self.demand || "
        f"(has({_FURTHER}) && {_FURTHER}.exists(f, f.indicator == l))))",
        "boundBy of a pool must name loads: the demand, or indicators of capacity.alsoBoundBy",
    ),
    CelRule(
        "spec",
        "!has(self.pools) || (self.pools.exists_one(p, self.demand in p.boundBy) && "
        f"(!has({_FURTHER}) || {_FURTHER}.all(f, "
        "self.pools.exists_one(p, f.indicator in p.boundBy))))",
        "the demand and each indicator of capacity.alsoBoundBy must be in the boundBy of exactly "
        "one pool",
    ),
    CelRule(
        "spec.pools",
        "self.all(v, !has(v.occupancyIndicator) || !self.exists(w, w.name != v.name && "
        "has(w.occupancyIndicator) && w.occupancyIndicator == v.occupancyIndicator))",
        "each pool must have an occupancyIndicator of its own, measured at its replicas: write "
        "the other's out among the indicators, under another name",
    ),
    CelRule(
        "spec.pools",
        "self.all(p, !has(p.occupancyOf) || has(p.occupancyIndicator))",
        "occupancyOf of a pool must be left out without an occupancyIndicator, whose share it is",
    ),
    CelRule(
        "spec",
        "!has(self.pools) || self.pools.all(p, !has(p.occupancyIndicator) || "
        f"{_own(f'{_IS_OCCUPANCY} && {_IS_MEASURED_RATIO}')} || {_PRESET_RATIO})",
        "occupancyIndicator of a pool must be the name of one of the indicators, or of one of a "
        "preset's: a gauge from 0 to 1, with unit ratio or none, that is measured, not known "
        "ahead, and whose gap is Unknown",
    ),
    CelRule(
        "spec",
        "!has(self.pools) || self.pools.all(p, !has(p.occupancyIndicator) || "
        "(p.occupancyIndicator != self.demand && "
        f"(!has({_FURTHER}) || !{_FURTHER}.exists(f, f.indicator == p.occupancyIndicator))))",
        "occupancyIndicator of a pool must be another indicator than the loads, the demand and "
        "those of capacity.alsoBoundBy",
    ),
    CelRule(
        "spec",
        f"!has(self.pools) || !has({_LATENCY})",
        "capacity.latencyIndicator must be left out with pools, whose latency is that of all of "
        "them: set sla.objective, of which each is learned",
    ),
    _at_most("spec.cost", "perGpuHour", MOST_USD_PER_GPU_HOUR),
    CelRule("spec.sla", "has(self.class) || has(self.risk)", "sla needs a class or a risk"),
    *risk_rules("spec.sla.risk"),
    *objective_rules("spec.sla.objective", has_choice=True),
    tokens_rule("spec.sla"),
    CelRule(
        "spec.indicators[]",
        f"!self.name.startsWith('{SERIES_PREFIX}')",
        f"name must not begin with {SERIES_PREFIX}, as the counts of an objective do",
    ),
    CelRule(
        "spec.indicators[]",
        "!self.knownAhead || (self.kind == 'gauge' && self.query == '')",
        "an indicator known ahead is a gauge without a query: its steps to come are pushed",
    ),
    CelRule(
        "spec.indicators[]",
        "self.gap == 'Unknown' || (self.kind == 'gauge' && self.query.contains('$step'))",
        "gap: Zero needs a gauge whose query covers a step, e.g. sum(rate(requests_total[$step])): "
        "only then does an empty answer tell of it",
    ),
    _positive("spec.capacity", "perReplica"),
    _positive("spec.capacity.alsoBoundBy[]", "perReplica"),
    _at_most("spec.capacity", "cv", 1),
    CelRule(
        "spec.capacity",
        "has(self.latencyIndicator) == has(self.sloLatency)",
        "latencyIndicator and sloLatency must be given together or not at all",
    ),
    _lasting("spec.capacity", "sloLatency"),
    _lasting("spec.leadTime", "median"),
    _no_longer("spec.leadTime", "median", MOST_MEDIAN_S),
    _at_most("spec.leadTime", "sigma", 3),
    _at_most("spec.behavior.scaleUp", "tolerance", 1),
    _at_most("spec.behavior.scaleDown", "tolerance", 1),
    CelRule(
        "spec.schedules[]",
        "!has(self.minReplicas) || !has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",
        "a schedule's minReplicas must not be greater than its maxReplicas",
    ),
    CelRule(
        "spec.schedules[]",
        "has(self.minReplicas) || has(self.maxReplicas) || has(self.freeze)",
        "a schedule needs minReplicas, maxReplicas or freeze",
    ),
    CelRule(
        "spec.schedules[]",
        "has(self.startTime) == has(self.endTime) && has(self.start) == has(self.end) && "
        "has(self.startTime) != has(self.start)",
        "give either startTime and endTime, or the cron expressions start and end",
    ),
    CelRule(
        "spec.schedules[]",
        "!has(self.daysOfWeek) || !has(self.start)",
        "daysOfWeek goes with startTime and endTime: a cron expression has its own days",
    ),
    CelRule(
        "spec.schedules[]",
        "!has(self.startTime) || !has(self.endTime) || self.startTime != self.endTime",
        "startTime and endTime must differ; 00:00 to 23:59 is all day",
    ),
    _lasting("spec.approval", "expireAfter"),
)

GPU_BUDGET_RULES = (
    CelRule(
        "spec",
        "!self.gpuType.contains('*')",
        "gpuType must name one type, without *: make a GPUBudget for each",
    ),
    CelRule(
        "spec.supply",
        "self.mode != 'fixed' || (!has(self.ceiling) && !has(self.nodeStartup) "
        "&& !has(self.headroom))",
        "mode fixed reads no ceiling, no nodeStartup and no headroom: leave them out, or set mode "
        "provisioned",
    ),
    _lasting("spec.supply", "nodeStartup"),
    CelRule(
        "spec.supply.headroom",
        f"!has(self.risk) || ({_number('risk')} >= 0.001 && {_number('risk')} <= 0.5)",
        'risk must be from 0.001 to 0.5, e.g. "0.01"',
    ),
)

SLA_CLASS_RULES = (
    *risk_rules("spec.risk"),
    *objective_rules("spec.objective"),
    tokens_rule("spec"),
)
