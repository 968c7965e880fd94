"""The last demand: of short steps the mean of a minute, of others the newest step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from decider.config import FallbackConfig
from decider.errors import InvalidConfig
from decider.planning.fallback import DecisionTime, last_known_demand
from decider.types import History
from tests.unit.decider.shards import NOW_S, workload

CONFIG = FallbackConfig()
NAN = float("nan")


def last(values: list[float], step_s: float) -> float | None:
    history = History(np.array(values), NOW_S, (), ())
    given = replace(workload("w"), history=history)
    return last_known_demand(given, DecisionTime(NOW_S, step_s), CONFIG)


def test_short_steps_are_averaged_over_a_minute_and_long_ones_are_not() -> None:
    values = [100.0, 10.0, 20.0, 30.0, 40.0]
    assert last(values, 15.0) == 25.0
    assert last(values, 30.0) == 35.0
    assert last(values, 60.0) == 40.0
    assert last(values, 300.0) == 40.0


def test_of_a_gap_what_is_known_counts() -> None:
    assert last([100.0, 10.0, 10.0, NAN, 40.0, NAN], 15.0) == 20.0
    assert last([NAN, NAN], 15.0) is None


def test_a_demand_of_no_time_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="last_demand_s"):
        FallbackConfig(last_demand_s=0.0)
