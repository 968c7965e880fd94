"""Options of the demo: defaults, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.kernel.errors import InvalidInput
from services.lab.demo.options import (
    DEFAULT_STEP_S,
    DEFAULT_WORKLOADS,
    HISTORY_DAYS,
    QUICK_HISTORY_DAYS,
    QUICK_STEP_S,
    QUICK_WORKLOADS,
    REAL_DEMAND,
)
from tests.unit.lab.demo.demo_options import options


def test_a_quick_demo_is_smaller() -> None:
    quick, full = options(), options(is_quick=False)
    assert (quick.step_s, quick.n_workloads) == (QUICK_STEP_S, QUICK_WORKLOADS)
    assert (full.step_s, full.n_workloads) == (DEFAULT_STEP_S, DEFAULT_WORKLOADS)
    assert (quick.history_days, full.history_days) == (QUICK_HISTORY_DAYS, HISTORY_DAYS)


def test_what_is_asked_for_stays() -> None:
    found = options(step_s=60, n_workloads=3, data=Path("t.parquet"), demand="l3_busy")
    assert (found.step_s, found.n_workloads, found.demand) == (60, 3, "l3_busy")


def test_requests_are_served_by_a_response_unless_a_trace_tells_none() -> None:
    assert options().truth == "served"
    assert options(truth="stated").truth == "stated"
    assert options(data=Path("t.parquet")).truth == "stated"


def test_real_demand_is_replayed_where_nothing_else_is_asked_for() -> None:
    real = options(is_generated=False)
    assert (real.data, real.truth) == (REAL_DEMAND, "served")
    assert options().data is None
    assert options(data=Path("t.parquet")).data == Path("t.parquet")
    assert options(is_generated=False, truth="stated").truth == "stated"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"epsilon": 0.0}, "--risk=0"),
        ({"epsilon": 1.0}, "--risk=1"),
        ({"demand": "l3_busy"}, "--demand=l3_busy"),
        ({"step_s": 700}, "--step=700"),
        ({"report": Path("/")}, "--report=/"),
        ({"json_file": Path("/")}, "--json=/"),
        ({"truth": "guessed"}, "--truth=guessed"),
        ({"truth": "served", "data": Path("t.parquet")}, "--truth=served"),
        ({"is_generated": False, "step_s": 300}, "--step=300: real demand has steps of 600 s"),
        ({"is_generated": False, "step_s": 900}, "--step=900: real demand has steps of 600 s"),
        ({"is_generated": False, "step_s": 2400}, "--step=2400: must divide an hour"),
        ({"is_generated": False, "n_workloads": 23}, "--workloads=23: real demand is that of 22"),
        ({"is_generated": True, "data": Path("t.parquet")}, "together with --generated"),
    ],
)
def test_an_option_that_cannot_be_used_is_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        options(**changes)
