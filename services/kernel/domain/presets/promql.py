"""PromQL of indicators: one series per workload, over exactly one step.

A silent exporter leaves a gap instead of repeating its last value, since every expression looks
back over one step (`$step`). Each function returns one expression for each name of a metric.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_MS_PER_S = 1000


@dataclass(frozen=True, slots=True)
class Promql:
    """Expressions over the series of one workload.

    Attributes:
        place: Matchers that pick its series.
    """

    place: str

    def of(self, metric: str, labels: str = "") -> str:
        """Selector of a metric's series over one step."""
        return f"{metric}{{{','.join(filter(None, (self.place, labels)))}}}[$step]"

    def sum_rate(self, *metrics: str, labels: str = "") -> tuple[str, ...]:
        """A counter's increase per second, over all pods."""
        return tuple(f"sum(rate({self.of(metric, labels)}))" for metric in metrics)

    def sum_mean(self, *metrics: str, labels: str = "") -> tuple[str, ...]:
        """A gauge's mean over the step, summed over all pods."""
        return tuple(f"sum(avg_over_time({self.of(metric, labels)}))" for metric in metrics)

    def mean(self, *metrics: str, labels: str = "") -> tuple[str, ...]:
        """A gauge's mean over the step and over all pods."""
        return tuple(f"avg(avg_over_time({self.of(metric, labels)}))" for metric in metrics)

    def p95_ms(self, *metrics: str, unit_ms: int = _MS_PER_S) -> tuple[str, ...]:
        """95 % quantile of a histogram over all pods, in milliseconds."""
        quantiles = (
            f"histogram_quantile(0.95, sum by (le) (rate({self.of(metric + '_bucket')})))"
            for metric in metrics
        )
        return tuple(q if unit_ms == 1 else f"{unit_ms} * {q}" for q in quantiles)

    def mean_ms(self, total_us: str, count: str, labels: str = "") -> tuple[str, ...]:
        """Mean of a time that is counted in microseconds, per request, in milliseconds."""
        (total,) = self.sum_rate(total_us, labels=labels)
        (requests,) = self.sum_rate(count, labels=labels)
        return (f"{total} / {requests} / {_MS_PER_S}",)


PODS = Promql('namespace="$namespace",pod=~"$pod"')
"""By the labels that a scrape of pods has."""


def sum_of(parts: Iterable[str]) -> str:
    """Sum of those of some single values that are there; where none is, the sum is absent."""
    # without a label of its own each part would hide the one behind it
    told = (f'label_replace({part}, "part", "{n}", "", "")' for n, part in enumerate(parts))
    return f"sum({' or '.join(told)})"


def at_edge(edge: float) -> str:
    """Matcher of the buckets that end at an edge: Prometheus 3 writes `1.0`, others also `1`.

    Args:
        edge: In the histogram's own unit, below a million.
    """
    text = repr(float(edge))
    spellings = dict.fromkeys((text.removesuffix(".0"), text))
    pattern = "|".join(re.escape(spelling) for spelling in spellings)
    # in a PromQL string the backslash of the regular expression is itself escaped
    return f'le=~"{pattern}"'.replace("\\", "\\\\")
