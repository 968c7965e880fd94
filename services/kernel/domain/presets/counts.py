"""What an objective is counted with: series of requests, those of presets where they have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.kernel.domain.objective import (
    LOST,
    WAITING,
    GoalSpec,
    SliSeriesSpec,
    good_name,
    sum_name,
    total_name,
    upto_name,
)
from services.kernel.domain.presets.catalog import check_names, filled, find_preset
from services.kernel.domain.presets.fit import bracket
from services.kernel.domain.presets.promql import at_edge, sum_of
from services.kernel.domain.presets.shape import GoalHistogram, Preset

_QUEUE = "queue_requests"
_MS_PER_S = 1000


@dataclass(frozen=True, slots=True)
class ObjectiveSeries:
    """The series of an objective's counts.

    Attributes:
        series: One for each count that is measured or pushed.
        problems: A line for each goal that cannot be counted; it has no series.
        notes: A line for each threshold between two bucket edges: its misses are an interval.
    """

    series: tuple[SliSeriesSpec, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def objective_series(
    goals: Sequence[GoalSpec],
    presets: Sequence[str],
    namespace: str | None,
    workloads: Sequence[str],
    given: Mapping[str, str],
) -> ObjectiveSeries:
    """The series of some goals; of several presets that have a goal the first counts.

    What neither a preset nor a query gives is pushed: its query is empty. Lost and waiting requests
    are among these only where a goal is pushed or counts errors; else they are not measured.

    Args:
        goals: The goals.
        presets: Keys of `PRESETS`.
        namespace: Namespace of the workload; None leaves `$namespace` to be filled in.
        workloads: Names of its scale targets; empty leaves `$pod` to be filled in.
        given: Queries by the names of their series, which take the place of the presets'.

    Raises:
        ValueError: A preset is unknown, or a name is not one of Kubernetes.
    """
    check_names("namespace", [] if namespace is None else [namespace])
    check_names("workload", workloads)
    known = [find_preset(name) for name in presets]
    found = [_of_goal(goal, known, given) for goal in goals]
    series = [one for part in found for one in part.series]
    is_pushed = any(not one.query or one.name == total_name("errors") for one in series)
    beside = {LOST: _lost(known), WAITING: _waiting(known)}
    for name, of_presets in beside.items():
        query = given.get(name, of_presets)
        if query or is_pushed:
            series.append(SliSeriesSpec(name=name, query=query))
    return ObjectiveSeries(
        tuple(
            one.model_copy(update={"query": filled(one.query, namespace, workloads)})
            for one in series
        ),
        tuple(line for part in found for line in part.problems),
        tuple(line for part in found for line in part.notes),
    )


def _of_goal(
    goal: GoalSpec, presets: Sequence[Preset], given: Mapping[str, str]
) -> ObjectiveSeries:
    total, good = total_name(goal.metric), good_name(goal.metric)
    if total in given:
        names = [total] if goal.metric == "errors" else [total, good]
        return ObjectiveSeries(
            tuple(SliSeriesSpec(name=name, query=given.get(name, "")) for name in names)
        )
    for preset in presets:
        for histogram in preset.goals:
            if goal.threshold_s is None and histogram.goal != "itl":
                query = _observed(preset, histogram)
                return ObjectiveSeries((SliSeriesSpec(name=total, query=query),))
            if goal.threshold_s is not None and histogram.goal == goal.metric:
                return _of_histogram(goal, goal.threshold_s, preset, histogram)
    names = [total] if goal.metric == "errors" else [total, good]
    return ObjectiveSeries(tuple(SliSeriesSpec(name=name) for name in names))


def _of_histogram(
    goal: GoalSpec, threshold_s: float, preset: Preset, histogram: GoalHistogram
) -> ObjectiveSeries:
    """Total and good; between two edges also those up to the upper one."""
    # a bucket that ends at 0 holds nothing, so that it tells nothing of a threshold
    edges_s = [edge for edge in histogram.edges_s if edge > 0]
    place = bracket(edges_s, threshold_s)
    metric, asked = histogram.metrics[0], _spelled(threshold_s)
    if place.below_s == 0:
        line = f"no bucket of {metric} is at or below {asked}: its first is {_spelled(edges_s[0])}"
        return ObjectiveSeries(problems=(line,))
    total = _observed(preset, histogram)
    queries = {
        total_name(goal.metric): total,
        good_name(goal.metric): _at_or_below(preset, histogram, place.below_s),
    }
    at_edge_s: dict[str, float] = {}
    if place.is_exact:
        notes: tuple[str, ...] = ()
    elif place.above_s is None:
        queries[upto_name(goal.metric)] = total
        last = _spelled(place.below_s)
        notes = (f"{goal.metric}: {asked} is above {last}, the last bucket edge of {metric}",)
    else:
        queries[upto_name(goal.metric)] = _at_or_below(preset, histogram, place.above_s)
        queries[sum_name(goal.metric)] = _sum_s(preset, histogram)
        at_edge_s = {good_name(goal.metric): place.below_s, upto_name(goal.metric): place.above_s}
        ends = f"{_spelled(place.below_s)} and {_spelled(place.above_s)}"
        notes = (f"{goal.metric}: {asked} lies between {ends}, bucket edges of {metric}",)
    return ObjectiveSeries(
        tuple(
            SliSeriesSpec(name=name, query=query, edge_s=at_edge_s.get(name))
            for name, query in queries.items()
        ),
        (),
        notes,
    )


def _observed(preset: Preset, histogram: GoalHistogram) -> str:
    """Requests (`itl`: tokens) that the histogram observed, per second."""
    names = [f"{metric}_count" for metric in histogram.metrics]
    return " or ".join(preset.promql.sum_rate(*names))


def _sum_s(preset: Preset, histogram: GoalHistogram) -> str:
    """Seconds that the histogram observed, per second."""
    names = [f"{metric}_sum" for metric in histogram.metrics]
    unit = "" if histogram.unit_s == 1.0 else f"{histogram.unit_s:.15g} * "
    return " or ".join(f"{unit}{rate}" for rate in preset.promql.sum_rate(*names))


def _at_or_below(preset: Preset, histogram: GoalHistogram, edge_s: float) -> str:
    # seconds over the unit may miss the edge by a bit: 0.1 / 0.001 is one, others are not
    edge = float(f"{edge_s / histogram.unit_s:.15g}") if histogram.unit_s != 1.0 else edge_s
    names = [f"{metric}_bucket" for metric in histogram.metrics]
    return " or ".join(preset.promql.sum_rate(*names, labels=at_edge(edge)))


def _lost(presets: Sequence[Preset]) -> str:
    """Requests without an answer by the first preset that counts some; empty: none does.

    Two presets would count the same request twice. A counter that is not there is left out of the
    sum, and where none is there the sum is absent: nobody knows, which is not zero.
    """
    for preset in presets:
        kinds = [
            " or ".join(preset.promql.sum_rate(*loss.metrics, labels=loss.labels))
            for loss in preset.losses
        ]
        if len(kinds) == 1:
            return kinds[0]
        if kinds:
            return sum_of(kinds)
    return ""


def _waiting(presets: Sequence[Preset]) -> str:
    """Requests in the queue by the first preset that counts them; empty: none does."""
    found = (i.expression for one in presets for i in one.indicators if i.name == _QUEUE)
    return next(found, "")


def _spelled(duration_s: float) -> str:
    return f"{duration_s:.6g}s" if duration_s >= 1 else f"{duration_s * _MS_PER_S:.6g}ms"
