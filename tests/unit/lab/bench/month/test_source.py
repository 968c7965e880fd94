"""What a month is replayed with, and what a source says of it."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from services.lab.bench.month.source import (
    HISTORY_DAYS,
    RIVALS,
    MonthFigures,
    MonthOptions,
    MonthSource,
)


def test_a_month_is_thirty_days_of_five_minutes_at_a_promise_of_one_per_cent() -> None:
    options = MonthOptions()
    assert (options.days, options.step_s, options.epsilon) == (30, 300, 0.01)
    assert (options.n_workloads, options.seed) == (24, 7)
    # a fortnight of steps of ten minutes is counted of a trace
    assert options.max_test_steps * 600 == HISTORY_DAYS * 86_400


def test_rivals_are_in_the_order_of_the_tables_with_the_oracle_last() -> None:
    assert RIVALS == ("static_peak", "hpa", "trailing_percentile", "oracle")


def test_a_source_keeps_all_that_its_tables_need() -> None:
    figures = MonthFigures(10.0, 25.0, np.array([0.01, np.nan]), "set so")
    assert figures.kept_where_chosen is None
    source = MonthSource(
        "made", "generated", 2, 300.0, 30.0, 4.5, {"hpa": figures}, {"in_words": []}
    )
    assert (source.data, source.kind, source.n_workloads) == ("made", "generated", 2)
    assert (source.step_s, source.days_measured, source.mean_demand_gpus) == (300.0, 30.0, 4.5)
    kept = source.policies["hpa"]
    assert (kept.gpu_hours, kept.cost_usd, kept.setting) == (10.0, 25.0, "set so")
    assert kept.violation_rate is figures.violation_rate
    assert source.assumptions == {"in_words": []}
    with pytest.raises(FrozenInstanceError):
        figures.gpu_hours = 0.0  # type: ignore[misc]
