"""Series of registered workloads as columns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from services.ingest.series.catalog import IndicatorRef, WorkloadRef
from services.ingest.series.known_series import KnownSeries, SeriesRef, series_columns
from services.ingest.series.translate import PushedSeriesName

HEAT = IndicatorRef("heat_celsius", is_counter=False, is_signed=True, query="")
TOTAL = IndicatorRef("tokens_total", is_counter=True, is_signed=False, query="", largest=5.0)
PLAN = IndicatorRef("plan_ratio", False, False, "", is_known_ahead=True)
WORKLOAD = WorkloadRef(7, "shop", "llama", 3, 60, {one.name: one for one in (TOTAL, HEAT)})


def names(*indicators: str, workload: str = "llama") -> list[PushedSeriesName]:
    return [PushedSeriesName("shop", workload, name) for name in indicators]


def test_columns_tell_what_the_references_tell() -> None:
    known = KnownSeries()
    known.learn(WORKLOAD)
    slots = known.find(names("heat_celsius", "tokens_total", "heat_celsius"))
    found = known.columns(slots)
    plain = series_columns([SeriesRef(WORKLOAD, one) for one in (HEAT, TOTAL, HEAT)])
    assert list(found.refs) == list(plain.refs)
    for column in ("workload_id", "shard", "step_s", "largest", "is_signed", "is_counter"):
        assert found.rows[column].tolist() == plain.rows[column].tolist()
    keys = found.keys
    assert [keys.names[n].decode() for n in keys.name] == [r.indicator.name for r in found.refs]
    assert found.step_us.tolist() == [60_000_000] * 3
    assert found.rows["order"].tolist()[0] < found.rows["order"].tolist()[1]  # as names sort


def test_nothing_is_known_of_what_is_not_registered() -> None:
    known = KnownSeries()
    known.learn(WORKLOAD)
    asked = names("heat_celsius", "other") + names("heat_celsius", workload="other")
    assert known.find(asked).tolist() == [0 if asked[0].indicator == TOTAL.name else 1, -1, -1]


def test_a_new_version_takes_the_place_of_the_old_one() -> None:
    known = KnownSeries()
    known.learn(WORKLOAD)
    changed = replace(WORKLOAD, indicators={"heat_celsius": HEAT, "plan_ratio": PLAN}, step_s=30)
    known.learn(changed)
    slots = known.find(names("heat_celsius", "plan_ratio", "tokens_total"))
    assert slots[2] == -1
    assert known.columns(slots[:2]).rows["step_s"].tolist() == [30, 30]


def test_what_is_forgotten_is_learned_again() -> None:
    known = KnownSeries()
    known.learn(WORKLOAD)
    (name,) = names("heat_celsius")
    known.forget(name)
    assert known.find([name]).tolist() == [-1]
    known.learn(WORKLOAD)
    assert known.find([name]).tolist() != [-1]


def test_many_workloads_have_room() -> None:
    known = KnownSeries()
    fleet = [replace(WORKLOAD, id=n, name=f"w{n}") for n in range(100)]
    for one in fleet:
        known.learn(one)
    asked = [PushedSeriesName("shop", one.name, "heat_celsius") for one in fleet]
    assert known.columns(known.find(asked)).rows["workload_id"].tolist() == list(range(100))


def test_samples_are_new_while_they_are_later_than_all_before() -> None:
    known = KnownSeries()
    known.learn(WORKLOAD)
    slots = known.find(names("heat_celsius", "tokens_total"))
    assert known.are_new(slots, np.array([5, 5]))
    known.note_stored(slots[:1], np.array([7]))
    assert not known.are_new(slots, np.array([7, 1]))
    assert known.are_new(slots, np.array([8, 1]))
    known.note_repeat()
    assert not known.are_new(slots, np.array([9, 9]))
    assert any(known.are_new(slots, np.array([9, 9])) for _ in range(100))
