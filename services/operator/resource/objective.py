"""The objective of a written spec -> that of a `WorkloadSpec`, with the series it is counted with.

The older form, one metric with its threshold, was never read before there were goals: whatever it
says stays valid, and what cannot be measured of it is told by a condition.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.kernel.domain import GoalSpec, ObjectiveSpec, SliSeriesSpec
from services.kernel.domain.objective import (
    LOST,
    MOST_THRESHOLD_S,
    READY,
    WAITING,
    good_name,
    total_name,
)
from services.kernel.domain.presets import objective_series
from services.operator.resource import spec as schemas
from services.operator.resource.autoscaler import Unmeasured
from services.operator.resource.indicators import targets
from services.operator.resource.quantities import format_duration, parse_duration_s

KNOWN_METRICS = ("ttft", "tpot", "itl", "e2e", "latency", "queue")
_DEFAULT_SHARE = 0.95
_SINGLE = re.compile(rf"({'|'.join(KNOWN_METRICS)})(?:_p([0-9]+))?")
_SHOWN = 60
_READY_METRICS = {
    "Deployment": ("kube_deployment_status_replicas_ready", "deployment"),
    "StatefulSet": ("kube_statefulset_status_replicas_ready", "statefulset"),
}
"""Of kube-state-metrics, by kind of the target: metric, and the label with its name."""


@dataclass(frozen=True, slots=True)
class FoundObjective:
    """An objective, and what is to be said of its measurement.

    Attributes:
        spec: None: there is none that could be measured.
        unmeasured: Why it is not measured, where that follows from the spec.
        note: Thresholds that lie between two bucket edges; empty: none does.
    """

    spec: ObjectiveSpec | None = None
    unmeasured: Unmeasured | None = None
    note: str = ""


def read_objective(
    written: schemas.GPUAutoscalerSpec,
    classes: Mapping[str, schemas.SLAClassSpec],
    namespace: str,
) -> FoundObjective:
    """The autoscaler's own objective, else that of its class.

    Args:
        written: The spec.
        classes: SLA classes by name.
        namespace: Namespace of the object, which is that of its targets.

    Raises:
        ValueError: The goals contradict each other, or the older form.
    """
    sla = written.sla or schemas.ServiceLevel()
    of_class = classes.get(sla.sla_class or "")
    own = sla.objective
    risk = sla.risk or (None if of_class is None else of_class.risk)
    if own is None:
        default = None if of_class is None else of_class.objective
        return FoundObjective() if default is None else _of_goals(default, written, namespace)
    _check_form(own)
    if own.metric is None:
        return _of_goals(own, written, namespace)
    single = _of_metric(own.metric, own.threshold or "")
    if isinstance(single, Unmeasured):
        return FoundObjective(unmeasured=single)
    counts_tokens = any(goal.metric == "itl" for goal in single.goals or ())
    if counts_tokens and risk is not None and risk.kind == "DemandFraction":
        message = (
            f"sla.objective.metric={own.metric!r} counts tokens, and kind DemandFraction promises "
            "a share of requests; state tpot, or kind TimeFraction"
        )
        return FoundObjective(unmeasured=Unmeasured("CountsTokens", message))
    found = single.model_copy(
        update={"lost_query": own.lost_query, "waiting_query": own.waiting_query}
    )
    return _of_goals(found, written, namespace)


def _check_form(own: schemas.Objective) -> None:
    if (own.goals is None) == (own.metric is None) or (own.metric is None) != (
        own.threshold is None
    ):
        raise ValueError("sla.objective needs either goals, or one metric with its threshold")
    if own.share is not None and own.goals is None:
        raise ValueError(
            "sla.objective.share goes with goals; the percentile of a metric is its share"
        )
    for goal in own.goals or ():
        has_good, has_total = goal.good_query is not None, goal.total_query is not None
        is_right = not has_good if goal.metric == "errors" else has_good == has_total
        if not is_right:
            raise ValueError(
                f"sla.objective.goals[{goal.metric}]: goodQuery and totalQuery must be given "
                "together or not at all; errors have a totalQuery only"
            )


def _check_thresholds(
    objective: schemas.Objective | schemas.ClassObjective, sla: schemas.ServiceLevel | None
) -> None:
    is_class = isinstance(objective, schemas.ClassObjective) and sla is not None
    place = f"sla.class={sla.sla_class!r}: its objective" if is_class and sla else "sla.objective"
    for goal in objective.goals or ():
        if goal.threshold_s is not None and goal.threshold_s > MOST_THRESHOLD_S:
            raise ValueError(
                f"{place}.goals[{goal.metric}].threshold={format_duration(goal.threshold_s)!r} "
                f"must be at most {format_duration(MOST_THRESHOLD_S)}"
            )


def _of_goals(
    objective: schemas.Objective | schemas.ClassObjective,
    written: schemas.GPUAutoscalerSpec,
    namespace: str,
) -> FoundObjective:
    _check_thresholds(objective, written.sla)
    goals = tuple(
        GoalSpec(metric=goal.metric, threshold_s=goal.threshold_s) for goal in objective.goals or ()
    )
    share = _DEFAULT_SHARE if objective.share is None else objective.share
    plain = ObjectiveSpec(goals=goals, share=share)
    presets = written.indicators_from or ()
    found = objective_series(goals, presets, namespace, targets(written), _given(objective))
    if found.problems:
        # counting some of the goals would call a request good that may miss another
        message = (
            f"{'; '.join(found.problems)}: choose that or a larger threshold, or give goodQuery "
            "and totalQuery"
        )
        return FoundObjective(plain, Unmeasured("NoBucket", message))
    note = "; ".join(found.notes)
    if note:
        note += ": misses between them are estimated from the sum; an edge would be exact"
    series = (*found.series, *_ready(written, namespace, found.series))
    return FoundObjective(plain.model_copy(update={"series": series}), None, note)


def _ready(
    written: schemas.GPUAutoscalerSpec, namespace: str, counted: Sequence[SliSeriesSpec]
) -> tuple[SliSeriesSpec, ...]:
    """How many replicas were ready before Harmony came; asked for where the counts are asked for.

    With the counts of that time it tells what load does to requests. Of variants and pools nothing
    tells which of them served, and other kinds have no such metric.
    """
    target = written.scale_target_ref
    if target is None or not any(one.query for one in counted):
        return ()
    found = _READY_METRICS.get(target.kind)
    if found is None:
        return ()
    metric, label = found
    own = f'{metric}{{namespace="{namespace}",{label}="{target.name}"}}'
    query = f"sum(avg_over_time({own}[$step]))"
    return (SliSeriesSpec(name=READY, query=query),)


def _given(objective: schemas.Objective | schemas.ClassObjective) -> dict[str, str]:
    """The queries that are written out, by the names of their series."""
    if not isinstance(objective, schemas.Objective):
        return {}
    found = {LOST: objective.lost_query, WAITING: objective.waiting_query}
    for goal in objective.goals or ():
        found |= {total_name(goal.metric): goal.total_query}
        if goal.metric != "errors":
            found |= {good_name(goal.metric): goal.good_query}
    return {name: query for name, query in found.items() if query is not None}


def _of_metric(metric: str, threshold: str) -> schemas.Objective | Unmeasured:
    """The older form as one goal."""
    matched = _SINGLE.fullmatch(metric)
    share = None if matched is None else _share(matched[2])
    if matched is None or share is None:
        message = (
            f"sla.objective.metric={metric[:_SHOWN]!r} is none that can be measured: use one of "
            f"{', '.join(KNOWN_METRICS)}, each with a percentile or without (ttft_p95), or state "
            "sla.objective.goals"
        )
        return Unmeasured("UnknownMetric", message)
    try:
        threshold_s = parse_duration_s(threshold)
    except ValueError:
        threshold_s = 0.0
    if not 0 < threshold_s <= MOST_THRESHOLD_S:
        message = (
            f"sla.objective.threshold={threshold!r} must be a duration above 0 and of at most a "
            "day, e.g. 500ms"
        )
        return Unmeasured("UnreadableThreshold", message)
    name = "e2e" if matched[1] == "latency" else matched[1]
    goal = schemas.CountedGoal.model_validate({"metric": name, "threshold": threshold})
    return schemas.Objective(goals=(goal,), share=share)


def _share(percentile: str | None) -> float | None:
    """95 -> 0.95, 999 -> 0.999; none -> the default; None: it is no percentile."""
    if percentile is None:
        return _DEFAULT_SHARE
    is_fine = len(percentile) > 2 and percentile.startswith("9")
    if len(percentile) > 2 and not is_fine:
        return None
    share = float(f"0.{percentile}") if is_fine else int(percentile) / 100
    return share if 0 < share < 1 else None
