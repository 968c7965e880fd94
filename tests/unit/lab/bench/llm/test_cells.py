"""Frontiers over seeds, and settings chosen on earlier data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.lab.bench.llm.cells import Part, cells_of, score_of, together
from services.lab.bench.llm.runs import RaceRun
from services.lab.bench.llm.score import PathCost
from tests.unit.lab.bench.llm.race_runs import family, race_run


def test_runs_are_put_into_cells() -> None:
    runs = [*family("trail", 1.0), *family("trail", 1.0, startup_s=180.0)]
    cells = cells_of(runs)
    assert [(cell.trace, cell.startup_s) for cell in cells] == [("shop", 60.0), ("shop", 180.0)]
    assert cells[0].hours("trail", 0.99, Part.WHOLE, [7]) == pytest.approx(8.0)
    assert cells[0].hours("trail", 0.9999, Part.WHOLE, [7]) is None


def test_seeds_are_pooled() -> None:
    runs = [race_run("trail", 1.0, 0.98, 4.0), race_run("trail", 1.0, 1.0, 6.0, seed=8)]
    (cell,) = cells_of(runs)
    assert cell.seeds == (7, 8)
    score = cell.points("trail", Part.WHOLE, cell.seeds)[1.0]
    assert (score.goodput, score.gpu_hours) == pytest.approx((0.99, 5.0))
    assert cell.points("trail", Part.WHOLE, [8, 8])[1.0].goodput == 1.0
    assert together([score]) == score


def test_another_seed_chooses_where_seeds_are_other_requests() -> None:
    runs = [
        race_run("trail", 1.0, 0.995, 4.0),
        race_run("trail", 2.0, 0.999, 6.0),
        race_run("trail", 1.0, 0.95, 4.0, seed=8),
        race_run("trail", 2.0, 0.999, 6.0, seed=8),
    ]
    (cell,) = cells_of(runs)
    chosen = cell.chosen(0.99, cell.seeds)
    assert chosen is not None
    # seed 7 is chosen for by seed 8, and the other way round
    assert chosen.settings == ("trail 2", "trail 1")
    assert chosen.goodput == pytest.approx((0.999 + 0.95) / 2)
    assert not chosen.kept
    hindsight = cell.best_simple(0.99, Part.WHOLE, cell.seeds)
    assert hindsight is not None
    assert hindsight < chosen.gpu_hours == pytest.approx(5.0)
    kept = cell.chosen(0.97, [7])
    assert kept is not None
    assert (kept.kept, kept.gpu_hours) == (True, pytest.approx(6.0))


def test_the_first_half_chooses_where_seeds_are_the_same_requests() -> None:
    run = race_run("fixed", 1.0, 1.0, 5.0, is_redrawn=False)
    late = run.minutes.good.copy()
    late[7:] = 9000
    worse = replace(run, minutes=replace(run.minutes, good=late))
    richer = race_run("fixed", 2.0, 1.0, 9.0, is_redrawn=False)
    (cell,) = cells_of([worse, richer])
    assert cell.judged is Part.LATE
    chosen = cell.chosen(0.99, [7])
    assert chosen is not None
    assert chosen.settings == ("fixed 1",)
    assert chosen.goodput == pytest.approx(0.9)
    # what the frontier of both takes: 2.5 and 4.5, a quarter of the way between
    assert chosen.gpu_hours == pytest.approx(2.5 * 1.8**0.25)
    assert score_of(worse, Part.EARLY).goodput == 1.0
    assert score_of(worse, Part.WHOLE).n_requests == 100_000
    assert score_of(worse, Part.WARM_UP).n_requests == 20_000


def test_without_a_simple_rival_none_is_chosen() -> None:
    (cell,) = cells_of(family("oracle", 1.0))
    assert cell.chosen(0.99, cell.seeds) is None
    assert np.isclose(cell.hours("oracle", 0.99, Part.LATE, [7]) or 0, 4.0)


def test_the_cost_of_harmonys_path_is_the_mean_over_seeds_or_not_known() -> None:
    def costly(seed: int, path_s: float) -> RaceRun:
        run = race_run("harmony", 0.99, 0.99, 4.0, seed=seed)
        return replace(run, minutes=replace(run.minutes, cost=PathCost(path_s, 1.2, 24)))

    runs = [costly(7, 6.0), costly(8, 10.0)]
    (cell,) = cells_of(runs)
    # twelve minutes are a fifth of an hour
    assert cell.cpu("harmony", 0.99) == pytest.approx({"hour_s": 40.0, "decision_ms": 50.0})
    assert cell.cpu("harmony", 0.95) is None
    (cell,) = cells_of([*runs, race_run("harmony", 0.99, 0.99, 4.0, seed=9)])
    assert cell.cpu("harmony", 0.99) is None
