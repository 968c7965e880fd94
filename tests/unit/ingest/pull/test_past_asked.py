"""Whose counts the past is asked for."""

from __future__ import annotations

from dataclasses import replace

from services.ingest.pull.past_asked import counts_of, is_unasked
from services.ingest.series.catalog import IndicatorRef, WorkloadRef
from services.ingest.series.due import CursorRow


def _workload(**queries: str) -> WorkloadRef:
    refs = {
        name: IndicatorRef(name, False, False, query, is_sli=name.startswith("sli_"))
        for name, query in queries.items()
    }
    return WorkloadRef(1, "shop", "w", 0, 60, refs)


def test_counts_are_told_apart_by_their_queries_alone() -> None:
    one = counts_of(_workload(load="load", sli_total="total", sli_good="good"))
    assert one == counts_of(_workload(sli_good="good", sli_total="total", other="x"))
    assert one != counts_of(_workload(load="load", sli_total="total", sli_good="better"))
    assert one is not None


def test_what_is_pushed_is_not_asked_for() -> None:
    assert counts_of(_workload(load="load", sli_total="")) is None
    assert not is_unasked(CursorRow(_workload(load="load"), None, None))


def test_the_past_is_asked_once_for_each_objective() -> None:
    workload = _workload(load="load", sli_total="total")
    row = CursorRow(workload, None, None)
    assert is_unasked(row)
    asked = replace(row, counts_asked=counts_of(workload))
    assert not is_unasked(asked)
    assert is_unasked(replace(asked, workload=_workload(load="load", sli_total="other")))
