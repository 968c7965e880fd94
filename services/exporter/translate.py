"""Rows of workloads to the figures that are exported; pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import RowMapping

from services.exporter import metrics
from services.exporter.metrics import WorkloadMetric
from services.kernel.domain.promise import promise_figures
from services.kernel.domain.schedules import is_paused_at

SHOWN_LEVELS = {"0.5": 0.5, "0.9": 0.9, "0.99": 0.99}
"""Quantile levels that are exported, by their label."""
FigureRow = RowMapping | Mapping[str, Any]
"""A row of `repository.read_figures`."""
_MODEL_RUNG = "model"
_NEAR = 1e-6


class Figure(NamedTuple):
    """A series of one workload.

    Attributes:
        label: Value of the metric's own label; empty where it has none.
        value: None or NaN: not known, so there is no series.
    """

    metric: WorkloadMetric
    label: str
    value: float | None

    @property
    def is_known(self) -> bool:
        """There is something to export."""
        return _is_number(self.value) and not math.isnan(self.value or 0.0)


def to_figures(row: FigureRow, now: datetime, *, is_trust_judged: bool = True) -> Iterator[Figure]:
    """What is known of a workload; what somebody made something else by hand is not.

    Args:
        row: Of `repository.read_figures`.
        now: Aware.
        is_trust_judged: Verdicts on models are in force; else each is trusted.
    """
    yield Figure(metrics.PAUSED, "", _paused(row, now))
    yield Figure(metrics.METRICS_AGE, "", row["sample_age_s"])
    yield Figure(metrics.STEP, "", row["step_s"])
    yield Figure(metrics.TRUSTED, "", float(row["is_trusted"] or not is_trust_judged))
    yield Figure(metrics.RECOMMENDED, "", row["desired_replicas"])
    yield Figure(metrics.DESIRED, "", row["to_replicas"])
    yield Figure(metrics.CURRENT, "", row["spec_replicas"])
    yield Figure(metrics.RISK_TARGET, "", row["risk_target"])
    yield Figure(metrics.RISK_ESTIMATED, "", row["risk_estimated"])
    yield from _forecast(row)
    yield from _promise(row)


def _paused(row: FigureRow, now: datetime) -> float | None:
    stated, until = row["is_paused"], row["until"]
    is_told = isinstance(stated, bool) or bool(until)
    return float(is_paused_at(paused=stated, until=until, now=now)) if is_told else None


def _forecast(row: FigureRow) -> Iterator[Figure]:
    if row["rung"] is None:
        return
    # the model's own answer may have a reason too: what it says of further loads
    yield Figure(metrics.FALLBACK, row["rung"], float(row["rung"] != _MODEL_RUNG))
    next_step = _at_shown(row["quantile_levels"], row["next_step"])
    yield from (Figure(metrics.QUANTILE, key, value) for key, value in next_step.items())
    n_seen = row["n_seen"]
    if _is_number(n_seen) and n_seen:
        below = _at_shown(_numbers(row["levels"]), _numbers(row["below_ratio"]))
        yield from (Figure(metrics.COVERAGE, key, ratio) for key, ratio in below.items())
    pinball = _by_name(row["pinball"])
    for key in SHOWN_LEVELS:
        yield Figure(metrics.PINBALL, key, pinball.get(key))
    yield Figure(metrics.SKILL, "", row["skill_vs_last_value"])
    yield Figure(metrics.HEDGE, "", row["tail_weight"])
    for kind, severity in _by_name(row["severities"]).items():
        yield Figure(metrics.DRIFT, kind, severity)


def _at_shown(levels: Sequence[float], values: Sequence[float]) -> dict[str, float]:
    """Values at the levels that are exported, as far as there are some."""
    return {
        key: value
        for key, shown in SHOWN_LEVELS.items()
        for level, value in zip(levels, values, strict=False)
        if abs(level - shown) < _NEAR
    }


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _numbers(stored: object) -> Sequence[float]:
    """A stored list of numbers; one that is none is empty."""
    return stored if isinstance(stored, list) and all(map(_is_number, stored)) else ()


def _by_name(stored: object) -> Mapping[str, Any]:
    """A stored object; what is none has no names."""
    return stored if isinstance(stored, dict) else {}


def _promise(row: FigureRow) -> Iterator[Figure]:
    """What is not measured has no measured series."""
    found = promise_figures(row["risk_state"])
    yield Figure(metrics.GOOD, "measured", _rest(found.measured_ratio))
    yield Figure(metrics.GOOD, "believed", _rest(found.believed_ratio))
    yield Figure(metrics.GOOD_HIGH, "", _rest(found.measured_low_ratio))
    yield Figure(metrics.GOOD_LOW, "", _rest(found.measured_high_ratio))
    if found.source is not None:
        yield Figure(metrics.BUDGET_LEFT, found.source, found.left_ratio)
    if row["has_objective"] and found.sli_status is not None:
        yield Figure(metrics.SLI_MEASURED, "", float(found.is_answered))


def _rest(ratio: float | None) -> float | None:
    return None if ratio is None else 1.0 - ratio
