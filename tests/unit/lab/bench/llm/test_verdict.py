"""The verdict over traces."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from services.lab.bench.llm.cells import cells_of
from services.lab.bench.llm.runs import RaceRun
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


def wandering(policy: str, promises: tuple[float, ...], chance: int) -> list[RaceRun]:
    """Runs that miss by chance about what their settings allow, with the chance given."""
    found = []
    for seed in (7, 8, 9):
        rng = np.random.default_rng([chance, seed])
        for at, setting in enumerate(promises):
            one = race_run(policy, setting, setting, 4.0 * 1.3**at, seed=seed)
            requests = one.minutes.requests // 50
            good = rng.binomial(requests, setting + 0.05 * (1.0 - setting))
            found.append(replace(one, minutes=replace(one.minutes, requests=requests, good=good)))
    return found


@pytest.mark.parametrize("is_redrawn", [True, False])
def test_a_rule_compared_with_itself_neither_wins_nor_loses(is_redrawn: bool) -> None:
    """Wherever earlier data chooses the setting that Harmony's promise is, kept or missed."""
    promises, kept = (0.95, 0.97, 0.99), []
    for chance in range(10):
        runs = wandering("harmony", (*promises, 0.999), chance)
        runs += [replace(run, policy="hpa") for run in runs]
        runs += [race_run("oracle", 1.0, 0.999, 3.0, seed=seed) for seed in (7, 8, 9)]
        (cell,) = cells_of([replace(run, is_redrawn=is_redrawn) for run in runs])
        for promise in promises:
            found = summarise([cell], [promise])[f"{promise:g}"]
            assert found["vs_simple_hindsight"] in (None, pytest.approx(1.0))
            (row,) = found["cells"]
            if row["simple_chosen"] != [f"hpa {promise:g}"]:
                continue
            kept.append(row["simple_chosen_kept"])
            assert found["vs_simple_chosen"] == pytest.approx(1.0)
            assert found["worst_vs_simple"] == pytest.approx(1.0)
            assert found["gap_closed"] == pytest.approx(0.0, abs=1e-9)
    # where each seed chooses for another one, all choose one setting only if each keeps it
    assert set(kept) == ({True} if is_redrawn else {True, False})


def test_harmony_is_taken_at_its_promise_and_not_at_its_front() -> None:
    runs = [
        race_run("harmony", 0.9, 0.95, 4.0),
        race_run("harmony", 0.99, 0.999, 16.0),
        *family("hpa", 1.0),
        *family("oracle", 0.5),
    ]
    found = summarise(cells_of(runs), [0.99])["0.99"]
    assert found["vs_simple_hindsight"] < 1.2
    assert found["vs_simple_chosen"] == pytest.approx(2.0)
    assert found["gap_closed"] == pytest.approx(-1.0)
    assert found["worst_vs_simple"] == pytest.approx(2.0)


def test_a_promise_that_is_missed_counts_as_much_as_a_rule_that_misses() -> None:
    runs = [race_run("harmony", 0.99, 0.98, 5.0), *family("hpa", 1.0), *family("oracle", 0.5)]
    found = summarise(cells_of(runs), [0.99])["0.99"]
    (row,) = found["cells"]
    assert (row["harmony_promised_goodput"], row["harmony_promised_kept"]) == (0.98, False)
    assert found["vs_simple_chosen"] == pytest.approx(1.0)
    none_keeps = [race_run("harmony", 0.9999, 0.98, 5.0), *family("hpa", 1.0)]
    found = summarise(cells_of(none_keeps), [0.9999])["0.9999"]
    assert found["vs_simple_chosen"] is None


def test_without_a_run_at_that_promise_nothing_is_known() -> None:
    runs = [run for run in cells()[0].runs if (run.policy, run.setting) != ("harmony", 0.99)]
    found = summarise(cells_of(runs), [0.99])["0.99"]
    assert found["vs_simple_hindsight"] == pytest.approx(0.75)
    (row,) = found["cells"]
    assert row["harmony_promised_goodput"] is None
    assert (found["vs_simple_chosen"], found["gap_closed"], found["worst_vs_simple"]) == (None,) * 3
    # nor is it where one seed of three lacks it
    runs += [run for run in cells()[0].runs if run.policy == "harmony" and run.seed != 8]
    assert summarise(cells_of(runs), [0.99])["0.99"]["vs_simple_chosen"] is None


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
    found = deployed(cells_of(runs))
    assert (found["promised"], found["interval_min"]) == (0.99, None)
    assert found["goodput_min"] == pytest.approx(0.99)
    assert found["goodput_max"] == pytest.approx(0.995)
    assert [row["trace"] for row in found["cells"]] == ["shop", "mill"]
    assert deployed([])["goodput_min"] is None


def test_a_promise_has_an_interval_over_seeds() -> None:
    goodputs = {7: 0.98, 8: 0.99, 9: 1.0}
    runs = [race_run("harmony", 0.99, share, 4.0, seed=seed) for seed, share in goodputs.items()]
    found = deployed(cells_of(runs))
    # of a mean of three the spread is that of the three over the root of three, times Student's t
    half = 0.01 / 3**0.5 * 2.91999
    assert found["cells"][0]["interval"] == pytest.approx([0.99 - half, 1.0], abs=1e-4)
    assert found["interval_min"] == pytest.approx(0.99 - half, abs=1e-4)


def test_intervals_are_of_the_spread_between_seeds() -> None:
    runs = []
    for seed, factor in ((7, 1.4), (8, 1.5), (9, 1.6)):
        runs += family("harmony", factor, seed=seed) + family("oracle", 1.0, seed=seed)
    found = summarise(cells_of(runs), [0.99])["0.99"]
    low, high = found["interval"]["vs_oracle"]
    assert found["vs_oracle"] == pytest.approx(1.5)
    assert low * high == pytest.approx(1.5**2, rel=1e-6)
    assert math.log(high / 1.5) == pytest.approx(2.92 * 0.1 / 1.5 / 3**0.5, rel=0.02)
