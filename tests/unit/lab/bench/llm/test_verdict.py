"""The verdict over traces."""

from __future__ import annotations

import pytest

from services.lab.bench.llm.cells import cells_of
from services.lab.bench.llm.verdict import deployed, summarise
from tests.unit.lab.bench.llm.race_runs import family, race_run


def cells(harmony: float = 1.5, trace: str = "shop", **changed: object) -> list:
    runs = [
        run
        for seed in (7, 8, 9)
        for name, factor in (
            ("harmony", harmony),
            ("oracle", 1.0),
            ("planner", 3.0),
            ("trail", 2.0),
            ("hpa", 4.0),
        )
        for run in family(name, factor, seed=seed, trace=trace, **changed)
    ]
    return cells_of(runs)


def test_ratios_are_of_hours_at_equal_goodput() -> None:
    found = summarise(cells(), [0.99])["0.99"]
    assert found["vs_oracle"] == pytest.approx(1.5)
    assert found["vs_planner"] == pytest.approx(0.5)
    assert found["vs_simple_chosen"] == pytest.approx(0.75)
    assert found["vs_simple_hindsight"] == pytest.approx(0.75)
    # of the gap from 2 to 1, in logarithms
    assert found["gap_closed"] == pytest.approx(0.415, abs=0.001)
    assert found["worst_vs_simple"] == pytest.approx(0.75)
    assert found["interval"]["vs_oracle"] == pytest.approx([1.5, 1.5])
    assert found["never"] == {"harmony": [], "planner": [], "simple": []}


def test_each_trace_weighs_once_whatever_its_start_ups() -> None:
    both = [
        *cells(1.0),
        *cells(1.0, startup_s=180.0),
        *cells(4.0, trace="mill"),
    ]
    found = summarise(both, [0.99])["0.99"]
    assert found["vs_oracle"] == pytest.approx(2.0)
    assert found["worst_vs_simple"] == pytest.approx(2.0)
    assert found["gap_closed"] == pytest.approx(0.0, abs=1e-9)


def test_who_never_reaches_it_is_listed_and_not_averaged() -> None:
    found = summarise(cells(), [0.9995])["0.9995"]
    assert found["vs_oracle"] is None
    assert found["gap_closed"] is None
    assert found["never"]["harmony"] == ["shop, 60 s"]
    assert found["interval"]["vs_oracle"] is None


def test_few_seeds_give_no_interval() -> None:
    found = summarise(cells_of(family("harmony", 1.0)), [0.99])["0.99"]
    assert set(found["interval"].values()) == {None}
    assert found["vs_oracle"] is None


def test_a_promise_of_99_percent_as_deployed() -> None:
    runs = [
        race_run("harmony", 0.99, 0.98, 4.0),
        race_run("harmony", 0.99, 1.0, 4.0, seed=8),
        race_run("harmony", 0.99, 0.995, 4.0, trace="mill"),
        race_run("harmony", 0.95, 0.5, 4.0),
    ]
    assert deployed(cells_of(runs)) == {
        "promised": 0.99,
        "goodput_min": pytest.approx(0.99),
        "goodput_max": pytest.approx(0.995),
    }
    assert deployed([])["goodput_min"] is None
