"""The law of the true capacity: refusals, bounds, the same for everyone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import ndtri
from typer.testing import CliRunner

from services.cli.application import app
from services.kernel.errors import InvalidInput
from services.lab.bench.decide.run import oracle_run
from services.lab.bench.decide.truth import (
    CapacityTruth,
    TruthKind,
    in_true_units,
    told_truth,
    truth_of,
)
from tests.unit.lab.bench.decide.tasks import STEP_S, decide_task, wave

DRIFTING = CapacityTruth(TruthKind.DRIFTING)


def off(ratio: float) -> CapacityTruth:
    return CapacityTruth(TruthKind.OFF, ratio)


def test_stated_is_the_default_and_changes_nothing() -> None:
    task, stated = (
        decide_task([wave(400)]),
        decide_task([wave(400)], truth=truth_of("stated", None)),
    )
    assert task.options == stated.options
    assert (stated.course.capacity_factor == 1.0).all()
    assert stated.course.is_truth_told()
    assert stated.course.is_truth_measured


def test_off_holds_from_the_first_step_to_the_last_and_nobody_is_told() -> None:
    plain, course = decide_task([wave(400)]).course, decide_task([wave(400)], truth=off(0.8)).course
    assert (course.capacity_factor == 0.8).all()
    assert course.capacity_factor.shape == course.demand.shape
    np.testing.assert_array_equal(course.told_capacity(), plain.told_capacity())
    np.testing.assert_array_equal(course.demand, plain.demand)
    assert not course.is_truth_told()
    assert not course.is_truth_measured


def test_off_without_a_ratio_is_ten_per_cent_below() -> None:
    assert truth_of("off", None) == off(0.9)


def test_drifting_is_drawn_once_per_seed_whatever_is_counted() -> None:
    demands = [wave(1000), wave(1000, seed=1)]
    one, again, other, short = (
        decide_task(demands, truth=DRIFTING, **more).course.capacity_factor
        for more in ({}, {}, {"seed": 8}, {"max_test_steps": 50})
    )
    np.testing.assert_array_equal(one, again)
    np.testing.assert_array_equal(one[:, : short.shape[1]], short)
    assert (one != other).any()
    assert (one[0] != one[1]).any()


def test_drifting_stays_in_bounds_moves_slowly_and_forgets_within_days() -> None:
    task = decide_task([wave(9000, seed=s) for s in range(20)], truth=DRIFTING)
    ratio = task.course.capacity_factor
    assert ratio.min() >= 0.7
    assert ratio.max() <= 1.3
    moves = np.abs(np.diff(np.log(ratio), axis=1))
    assert np.quantile(moves, 0.5) < 0.02
    assert moves.max() < 0.13
    z = ndtri((np.log(ratio) - math.log(0.7)) / math.log(1.3 / 0.7))
    per_day = 86_400 // STEP_S
    kept = (z[:, per_day:] * z[:, :-per_day]).mean() / (z**2).mean()
    assert kept == pytest.approx(math.exp(-1.0), abs=0.15)
    assert np.median(ratio) == pytest.approx(math.sqrt(0.7 * 1.3), abs=0.04)


@pytest.mark.parametrize(
    ("kind", "ratio", "words"),
    [
        ("off", 0.49, "must be between 0.5 and 1.5"),
        ("off", 1.51, "must be between 0.5 and 1.5"),
        ("off", math.nan, "must be between 0.5 and 1.5"),
        ("off", -1.0, "must be between 0.5 and 1.5"),
        ("off", 0.0, "must be between 0.5 and 1.5"),
        ("stated", 0.9, "only --truth=off and served have a ratio"),
        ("drifting", 0.9, "only --truth=off and served have a ratio"),
        ("on", None, "must be one of stated, off, drifting"),
    ],
)
def test_a_wrong_truth_is_refused_in_one_line(kind: str, ratio: float | None, words: str) -> None:
    arguments = ["bench", "decide", "--data", "x.parquet", "--truth", kind]
    if ratio is not None:
        arguments += ["--truth-ratio", str(ratio)]
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, InvalidInput)
    assert words in str(result.exception)
    assert "\n" not in str(result.exception)


@pytest.mark.parametrize("ratio", [0.5, 1.0, 1.5])
def test_the_bounds_themselves_are_allowed(ratio: float) -> None:
    assert truth_of("off", ratio).ratio == ratio


def test_two_laws_of_the_true_capacity_at_once_are_refused() -> None:
    with pytest.raises(InvalidInput, match="give one of them"):
        decide_task([wave(400)], truth=off(0.9), capacity_cv=0.1)


def test_a_policy_can_be_told_the_true_capacity() -> None:
    course = told_truth(decide_task([wave(400)], truth=DRIFTING).course)
    np.testing.assert_array_equal(course.told_capacity(), course.true_capacity())
    assert course.is_truth_told()


@pytest.mark.parametrize("truth", [off(0.7), off(1.3), DRIFTING])
def test_the_oracle_knows_the_true_capacity_of_later_steps_too(truth: CapacityTruth) -> None:
    task = decide_task([wave(600), wave(600, seed=1)], truth=truth)
    np.testing.assert_allclose(in_true_units(task.course).need(), task.course.need())
    run, need = oracle_run(task), task.course.need()
    assert not run.violation_ratio[:, :, 2:].any()
    least = np.maximum(need[:, :-1], need[:, 1:])
    np.testing.assert_array_equal(run.asked[0, :, :-1], np.maximum(least, 1.0))


def test_what_the_oracle_leaves_unserved_is_in_units_of_demand() -> None:
    demand = np.full(400, 10.0)
    demand[350:360] = 1e5  # more than 400 replicas serve
    task = decide_task([demand], truth=off(0.8))
    run, course = oracle_run(task), task.course
    most = 400 * course.true_capacity()[0, 0]
    peak = int(np.nanargmax(course.demand[0]))
    assert run.asked[0, 0, peak + 2] == 400.0
    assert run.unserved[0, 0, peak + 2] == pytest.approx(course.demand[0, peak] - most, rel=1e-5)
