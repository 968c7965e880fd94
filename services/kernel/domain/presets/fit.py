"""What a page of metrics offers of a preset: what is there, what is missing, and which edges.

A share of requests can be read exactly where a threshold lies on a bucket edge. Off an edge it is
an interval: at least the share below the lower edge, at most that below the upper one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.kernel.domain.presets.page import MetricsPage, Presence
from services.kernel.domain.presets.shape import (
    GOAL_WORDS,
    LOSS_WORDS,
    Goal,
    GoalHistogram,
    LossCounter,
    Preset,
    PresetIndicator,
    metrics_in,
)

_ORDER: tuple[Presence, ...] = ("there", "silent", "missing")
_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class Bracket:
    """A threshold between two bucket edges, in seconds.

    Attributes:
        threshold_s: The threshold.
        below_s: The largest edge that is not above it; 0 where there is none.
        above_s: The smallest edge that is not below it; None where there is none.
    """

    threshold_s: float
    below_s: float
    above_s: float | None

    @property
    def is_exact(self) -> bool:
        """The threshold is an edge, so that a share of requests is a number."""
        return self.below_s == self.above_s


@dataclass(frozen=True, slots=True)
class PresetFinding:
    """An indicator, a goal or a loss of a preset on a page.

    Attributes:
        name: Its name: of the indicator, the goal or the kind of loss.
        presence: Whether the page has what it needs.
        metrics: The metrics that it is read from, by the names that the page has.
        missing: Metrics that are not there, by the program's newest names.
        meaning: What cannot be measured without them, and what to do; empty: nothing is missing.
        edges_s: Bucket edges on the page, in seconds; empty for what is no histogram.
        bracket: A threshold among these edges; None: none was asked for, or there are no edges.
    """

    name: str
    presence: Presence
    metrics: tuple[str, ...]
    missing: tuple[str, ...] = ()
    meaning: str = ""
    edges_s: tuple[float, ...] = ()
    bracket: Bracket | None = None


@dataclass(frozen=True, slots=True)
class PresetFit:
    """A preset on a page.

    Attributes:
        preset: The preset.
        is_known: The page is one of the preset's program.
        indicators: Its indicators, in their order.
        goals: Its histograms.
        losses: Its counters of requests without an answer.
    """

    preset: Preset
    is_known: bool
    indicators: tuple[PresetFinding, ...]
    goals: tuple[PresetFinding, ...]
    losses: tuple[PresetFinding, ...]

    @property
    def n_found(self) -> int:
        """Indicators that the page has, or announces."""
        return sum(finding.presence != "missing" for finding in self.indicators)

    @property
    def is_fit(self) -> bool:
        """The page is the program's and has a demand, where the preset knows one."""
        found = {one.name for one in self.indicators if one.presence != "missing"}
        return self.is_known and (not self.preset.demands or bool(found & {*self.preset.demands}))


def fit_preset(preset: Preset, page: MetricsPage, thresholds_s: Mapping[Goal, float]) -> PresetFit:
    """Compare a preset with a page of metrics.

    Args:
        preset: The preset.
        page: What the page names.
        thresholds_s: Thresholds to find among the bucket edges, in seconds.
    """
    return PresetFit(
        preset,
        any(page.presence(mark) != "missing" for mark in preset.marks),
        tuple(_indicator(preset, indicator, page) for indicator in preset.indicators),
        tuple(_goal(goal, page, thresholds_s.get(goal.goal)) for goal in preset.goals),
        tuple(_loss(loss, page) for loss in preset.losses),
    )


def bracket(edges_s: Sequence[float], threshold_s: float) -> Bracket:
    """The bucket edges next to a threshold.

    Args:
        edges_s: Finite edges, rising.
        threshold_s: The threshold, in seconds.
    """
    for edge in edges_s:
        if math.isclose(edge, threshold_s, rel_tol=_SAME):
            return Bracket(threshold_s, edge, edge)
    below = [edge for edge in edges_s if edge < threshold_s]
    above = [edge for edge in edges_s if edge > threshold_s]
    return Bracket(threshold_s, max(below, default=0.0), min(above, default=None))


def _best(choices: Sequence[Sequence[str]], page: MetricsPage) -> tuple[Presence, tuple[str, ...]]:
    """How the first of several sets of metrics stands that stands best."""
    ranked = [
        (max((_ORDER.index(page.presence(name)) for name in names), default=0), position)
        for position, names in enumerate(choices)
    ]
    worst, position = min(ranked)
    return _ORDER[worst], tuple(choices[position])


def _finding(
    name: str, choices: Sequence[Sequence[str]], page: MetricsPage, lost: str, needs: str
) -> PresetFinding:
    presence, metrics = _best(choices, page)
    missing = tuple(metric for metric in metrics if page.presence(metric) == "missing")
    if presence == "missing":
        meaning = f"{lost}; needs {needs}" if needs else lost
    elif presence == "silent":
        meaning = "announced without a series: it begins with the first request"
    else:
        meaning = ""
    return PresetFinding(name, presence, metrics, missing, meaning)


def _indicator(preset: Preset, indicator: PresetIndicator, page: MetricsPage) -> PresetFinding:
    choices = [
        [metric for metric in metrics_in(expression) if metric not in indicator.optional]
        for expression in indicator.expressions
    ]
    lost = "not measured"
    if indicator.name in preset.demands:
        lost += ", so it cannot be the demand"
    elif indicator.is_offered:
        lost += ", so it cannot be a load"
    return _finding(indicator.name, choices, page, lost, indicator.needs)


def _goal(goal: GoalHistogram, page: MetricsPage, threshold_s: float | None) -> PresetFinding:
    choices = [(f"{metric}_bucket",) for metric in goal.metrics]
    lost = f"no promise on the {GOAL_WORDS[goal.goal]}"
    found = _finding(goal.goal, choices, page, lost, goal.needs)
    histogram = found.metrics[0].removesuffix("_bucket")
    edges_s = tuple(edge * goal.unit_s for edge in page.edges.get(histogram, ()))
    return PresetFinding(
        found.name,
        found.presence,
        (histogram,),
        tuple(name.removesuffix("_bucket") for name in found.missing),
        found.meaning,
        edges_s,
        bracket(edges_s, threshold_s) if edges_s and threshold_s is not None else None,
    )


def _loss(loss: LossCounter, page: MetricsPage) -> PresetFinding:
    lost = f"{LOSS_WORDS[loss.kind]} are not counted as misses"
    return _finding(loss.kind, [(metric,) for metric in loss.metrics], page, lost, loss.needs)
