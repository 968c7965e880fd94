"""Tables."""

from __future__ import annotations

from dataclasses import replace

from services.lab.bench.llm.cells import cells_of
from services.lab.bench.llm.report import (
    chosen_rows,
    deployed_rows,
    frontier_rows,
    promise_rows,
    setting_rows,
    summary_rows,
    title,
)
from services.lab.bench.llm.score import PathCost
from services.lab.bench.llm.verdict import deployed, summarise
from tests.unit.lab.bench.llm.race_runs import family, race_run

RUNS = [*family("oracle", 1.0), *family("trail", 2.0), race_run("harmony", 0.99, 0.985, 9.0)]


def test_a_row_for_each_policy_and_never_where_it_does_not_reach() -> None:
    (cell,) = cells_of(RUNS)
    rows = frontier_rows(cell, [0.95, 0.99])
    assert rows[1] == {"policy": "trail", "95.0%": "9.86 (2.00)", "99.0%": "16.00 (2.00)"}
    assert rows[2] == {"policy": "harmony", "95.0%": "9.00 (1.83)", "99.0%": "never"}
    assert title(cell) == "shop on h200_sxm, start-up 60 s, seeds 7"


def test_promises_and_settings() -> None:
    (cell,) = cells_of(RUNS)
    (row,) = deployed_rows(cell)
    assert (row["promise"], row["goodput"], row["scale events"]) == ("99.0%", "98.50%", "10")
    assert (row["goodput before"], row["GPU-hours before"]) == ("98.50%", "1.80")
    assert (row["CPU of an hour"], row["of a decision"]) == ("–", "–")
    assert len(setting_rows(cell)) == 7


def test_what_harmonys_own_path_costs_stands_beside_its_promise() -> None:
    run = race_run("harmony", 0.99, 0.985, 9.0)
    own = replace(run, minutes=replace(run.minutes, cost=PathCost(5.6, 1.2, 24)))
    (cell,) = cells_of([own])
    (row,) = deployed_rows(cell)
    assert (row["CPU of an hour"], row["of a decision"]) == ("28 s", "50 ms")
    (found,) = deployed([cell])["cells"]
    assert found["cpu"] == own.to_json()["cpu"] == {"hour_s": 28.0, "decision_ms": 50.0}


def test_the_promise_of_99_percent_over_seeds() -> None:
    seeds = {7: 0.98, 8: 0.99, 9: 1.0}
    runs = [race_run("harmony", 0.99, share, 4.0, seed=seed) for seed, share in seeds.items()]
    (row,) = promise_rows(deployed(cells_of(runs)))
    assert row["goodput of each seed"] == "98.00%, 99.00%, 100.00%"
    assert (row["pooled"], row["90 % interval"]) == ("99.00%", "97.31% to 100.00%")
    (row,) = promise_rows(deployed(cells_of(runs[:1])))
    assert (row["pooled"], row["90 % interval"]) == ("98.00%", "–")


def test_the_summary_and_what_was_chosen() -> None:
    summary = summarise(cells_of(RUNS), [0.95])
    figures = {row["figure"]: row["95.0%"] for row in summary_rows(summary)}
    assert figures["Harmony / oracle"] == "1.83"
    assert figures["Harmony / Planner's best setting"] == "–"
    (row,) = chosen_rows(summary["0.95"])
    assert (row["rule and setting"], row["kept"]) == ("trail 2", "yes")
    assert (row["Harmony's promise kept"], row["Harmony's promise over it"]) == ("not run", "–")
    (row,) = chosen_rows(summarise(cells_of(RUNS), [0.99])["0.99"])
    assert row["Harmony's promise kept"] == "98.50%, no"
    assert row["Harmony's promise over it"] == "1.00"
