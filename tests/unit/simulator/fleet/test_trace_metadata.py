"""Metadata beside a trace: what they say, and what they leave open."""

from __future__ import annotations

import math

import pytest

from services.simulator.fleet.trace_metadata import TraceError, TraceMetadata


def test_without_metadata_the_prefix_says_the_level() -> None:
    columns = TraceMetadata({}).columns(["l1_rps", "l3_busy", "load", "l9_x"])
    assert [c.level for c in columns] == [1, 3, 1, 1]
    assert TraceMetadata({}).title("mine") == "mine"
    assert TraceMetadata({}).interval_s() is None


def test_a_column_is_described() -> None:
    entries = [{"name": "n", "level": 2, "unit": "requests/bin", "derived": True}]
    (column,) = TraceMetadata({"indicators": entries}).columns(["n"])
    assert (column.level, column.is_flow, column.is_derived) == (2, True, True)


@pytest.mark.parametrize(
    ("marked", "demand"), [(["a"], "a"), ([], None), (["a", "b"], None), (["gone"], None)]
)
def test_the_demand_is_what_one_column_is_marked_as(marked: list[str], demand: str | None) -> None:
    entries = [{"name": name, "main_demand": name in marked} for name in ("a", "b", "gone")]
    assert TraceMetadata({"indicators": entries}).main_demand(["a", "b"]) == demand


def test_a_workload_may_have_a_demand_of_its_own() -> None:
    metadata = TraceMetadata({"workloads": {"w": {"demand_column": "b"}, "v": {}, "u": 3}})
    columns = metadata.columns(["a", "b"])
    assert metadata.own_demand("a", columns) == {"w": "b"}


def test_a_demand_of_its_own_that_is_no_name_is_none() -> None:
    metadata = TraceMetadata({"workloads": {"w": {"demand_column": ["b"]}}})
    assert metadata.own_demand("a", metadata.columns(["a", "b"])) == {}


@pytest.mark.parametrize("stated", [0, -60, 0.5, math.inf, math.nan])
def test_an_interval_is_above_zero(stated: float) -> None:
    with pytest.raises(TraceError, match=f"interval_seconds={stated}"):
        TraceMetadata({"interval_seconds": stated}).interval_s()
