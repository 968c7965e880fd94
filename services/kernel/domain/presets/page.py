"""A page of metrics: the text that a program answers a scrape with.

The classic text format with classic histograms is read; native histograms have no fixed edges.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from prometheus_client.parser import text_string_to_metric_families

Presence = Literal["there", "silent", "missing"]
"""A series is there, its type is announced without a series yet, or nothing is known of it."""
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_TYPE = re.compile(r"^# TYPE (\S+) (\w+)", re.MULTILINE)
_SUFFIXES = {"histogram": ("_bucket", "_count", "_sum"), "summary": ("", "_count", "_sum")}
_BUCKET, _TOTAL = "_bucket", "_total"
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class MetricsPage:
    """What a page of metrics names.

    Attributes:
        samples: Names of all series on it.
        announced: Names of series that its `# TYPE` lines promise.
        edges: Finite bucket edges of its classic histograms, in their own unit, rising.
    """

    samples: frozenset[str]
    announced: frozenset[str]
    edges: Mapping[str, tuple[float, ...]]

    def presence(self, metric: str) -> Presence:
        """How a metric stands on the page."""
        if metric in self.samples:
            return "there"
        return "silent" if metric in self.announced else "missing"


def read_page(text: str) -> MetricsPage:
    """Read a page of metrics.

    Raises:
        ValueError: It is not in the text format, or names no metric.
    """
    announced = {
        f"{name}{suffix}"
        for name, kind in _TYPE.findall(text)
        for suffix in _SUFFIXES.get(kind, ("",))
    }
    samples: set[str] = set()
    edges: dict[str, set[float]] = {}
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if not _NAME.fullmatch(sample.name):
                    raise ValueError(f"{sample.name!r} is no name of a metric")
                samples.add(_as_written(sample.name, announced))
                if sample.name.endswith(_BUCKET) and "le" in sample.labels:
                    histogram = sample.name.removesuffix(_BUCKET)
                    edges.setdefault(histogram, set()).add(float(sample.labels["le"]))
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise ValueError(_refusal(text)) from error
    if not samples and not announced:
        raise ValueError(_refusal(text))
    finite = {name: tuple(sorted(filter(math.isfinite, found))) for name, found in edges.items()}
    return MetricsPage(frozenset(samples), frozenset(announced), finite)


def _as_written(name: str, announced: Collection[str]) -> str:
    """A series' name on the page; the parser ends the names of all counters in `_total`."""
    short = name.removesuffix(_TOTAL)
    return short if name not in announced and short in announced else name


def _refusal(text: str) -> str:
    start = " ".join(text[: 4 * _SHOWN].split())[:_SHOWN]
    return f"is no page of metrics in Prometheus' text format; it begins with {start!r}"
