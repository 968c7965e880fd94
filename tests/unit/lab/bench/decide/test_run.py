"""Both comparisons on a small task with made-up forecasts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.kernel.clock import make_rng
from services.lab.bench.decide.frontier import curve, resamples
from services.lab.bench.decide.run import (
    N_LEAD_DRAWS,
    DecideResult,
    capacity_beliefs,
    choose,
    lead_draws,
    oracle_run,
    task_block,
)
from services.lab.bench.decide.task import MAX_UTILISATION, DecideTask
from services.lab.bench.decide.truth import truth_of
from tests.unit.lab.bench.decide.results import constant_run, small_task
from tests.unit.lab.bench.decide.small_runs import EPSILONS, small_result, wavy_task
from tests.unit.lab.bench.decide.tasks import STEP_S

SEED = 7
N_REPLICATES = 5


@pytest.fixture(scope="module")
def result() -> DecideResult:
    """Starts and capacities vary."""
    return small_result(wavy_task(lead_sigma=0.3, capacity_cv=0.2))


def counted(task: DecideTask, values: np.ndarray) -> np.ndarray:
    return values[..., task.n_prelude :]


@pytest.mark.slow
def test_everyone_is_run_and_only_harmony_reads_forecasts(result: DecideResult) -> None:
    assert {n: p.reads_forecasts for n, p in result.policies.items()} == {
        "hpa": False,
        "trailing_percentile": False,
        "harmony": True,
    }
    assert result.deployed.reads_forecasts
    assert (result.seed, result.epsilons) == (SEED, EPSILONS)


@pytest.mark.slow
def test_what_varies_is_also_run_as_if_it_did_not(result: DecideResult) -> None:
    assert set(result.ablations) == {"perfect_forecast", "fixed_lead_time", "certain_capacity"}
    usual = result.deployed.run.asked
    assert all(not np.array_equal(p.run.asked, usual) for p in result.ablations.values())


@pytest.mark.slow
def test_a_deployed_promise_is_its_own_setting_and_others_choose_on_the_prelude(
    result: DecideResult,
) -> None:
    task = result.task
    for arm in (result.deployed, *result.ablations.values()):
        assert arm.chosen == {epsilon: g for g, epsilon in enumerate(EPSILONS)}
        assert arm.tuned == dict.fromkeys(EPSILONS, True)
    for name, first in (("hpa", task.n_prelude // 4), ("harmony", 1)):
        arm = result.policies[name]
        for epsilon in EPSILONS:
            pair = (arm.chosen[epsilon], arm.tuned[epsilon])
            assert pair == choose(task, arm.run, first, epsilon)


def test_a_setting_is_chosen_by_what_was_measured_from_the_first_step_on() -> None:
    task = small_task()
    run = constant_run("p", task, [(0.0, 1.0), (0.0, 2.0)])
    out = np.zeros_like(run.measured_ratio)
    out[0, :, :3] = 1.0  # before the first step that counts
    out[0, :, task.n_prelude :] = 1.0  # after the prelude
    run = replace(run, measured_ratio=out)
    assert choose(task, run, 3, 0.01) == (0, True)
    assert choose(task, run, 2, 0.01) == (1, True)


@pytest.mark.slow
def test_the_yardstick_holds_known_steps_and_the_oracles_replicas(result: DecideResult) -> None:
    task, yard = result.task, result.yard
    known = counted(task, task.is_known)
    n_blocks = int(np.ceil(known.shape[1] / task_block(task)))
    assert yard.known.shape == yard.oracle.shape == (2, n_blocks)
    assert yard.known.sum(axis=1) == pytest.approx(known.sum(axis=1))
    held = counted(task, result.oracle.asked[0])
    assert yard.oracle.sum(axis=1) == pytest.approx(held.sum(axis=1))


@pytest.mark.slow
def test_a_frontier_is_of_the_counted_part(result: DecideResult) -> None:
    task, arm = result.task, result.policies["hpa"]
    out = counted(task, arm.run.violation_ratio * task.is_known).sum(axis=2)
    rate = (out / counted(task, task.is_known).sum(axis=1)).mean(axis=1)
    assert arm.curve.rate == pytest.approx(rate, rel=1e-5)
    held = counted(task, arm.run.asked).sum(axis=2)
    ratio = (held / counted(task, result.oracle.asked[0]).sum(axis=1)).mean(axis=1)
    assert arm.curve.ratio == pytest.approx(ratio, rel=1e-5)


def test_replicates_set_harmony_against_the_rival_that_is_best_in_each(
    result: DecideResult,
) -> None:
    rng = make_rng(SEED, "bench", "bootstrap")
    drawn = resamples(*result.yard.known.shape, N_REPLICATES, rng)
    assert set(result.replicates) == set(EPSILONS)
    n_known = 0
    for epsilon, logs in result.replicates.items():
        assert logs.shape == (N_REPLICATES,)
        for log, (days, workloads) in zip(logs, drawn, strict=True):
            own, hpa, trailing = (
                curve(result.policies[name].blocks, result.yard, days, workloads).at(epsilon)
                for name in ("harmony", "hpa", "trailing_percentile")
            )
            rivals = [cost for cost in (hpa, trailing) if np.isfinite(cost)]
            expected = np.log(own / min(rivals)) if rivals else np.nan
            assert log == pytest.approx(expected, nan_ok=True)
            n_known += bool(np.isfinite(log))
    assert n_known > 0


def test_lead_times_are_believed_as_they_are_drawn() -> None:
    fixed = lead_draws(wavy_task(lead_median_steps=1.5))
    assert fixed.tolist() == [1.5 * STEP_S]
    drawn = lead_draws(wavy_task(lead_median_steps=1.5, lead_sigma=0.3))
    assert drawn.shape == (N_LEAD_DRAWS,)
    logs = np.log(drawn / (1.5 * STEP_S))
    assert logs.mean() == pytest.approx(0.0, abs=4 * 0.3 / np.sqrt(N_LEAD_DRAWS))
    assert logs.std() == pytest.approx(0.3, rel=0.35)


def test_capacities_are_believed_to_vary_about_what_is_stated() -> None:
    assert set(capacity_beliefs(wavy_task())) == {1.0}
    drawn = capacity_beliefs(wavy_task(capacity_cv=0.2))
    assert drawn.mean() == pytest.approx(1.0, rel=0.02)
    assert drawn.std() == pytest.approx(0.2, rel=0.1)


def test_who_knows_the_future_is_never_out_of_sla_and_wastes_little() -> None:
    task = wavy_task()
    run = oracle_run(task)
    assert counted(task, run.violation_ratio).max() == 0
    needed = np.ceil(counted(task, task.course.demand) / MAX_UTILISATION - 1e-9)
    held = counted(task, run.asked[0])
    assert (held >= needed).all()
    assert held.sum() < 1.25 * needed.sum()


def test_the_oracle_knows_the_true_capacity() -> None:
    stated = oracle_run(wavy_task())
    less_task = wavy_task(truth=truth_of("off", 0.8))
    less = oracle_run(less_task)
    assert counted(less_task, less.violation_ratio).max() == 0
    ratio = counted(less_task, less.asked).sum() / counted(less_task, stated.asked).sum()
    assert ratio == pytest.approx(1 / 0.8, rel=0.03)


def test_what_the_oracle_leaves_unserved_is_in_units_of_demand() -> None:
    task = wavy_task(truth=truth_of("off", 0.8))
    bound = np.full(len(task.names), 5.0)  # far from enough, always held
    task = replace(task, course=replace(task.course, max_replicas=bound))
    run = oracle_run(task)
    part = slice(task.n_prelude, None)
    short = task.course.demand[:, part] - 5.0 * MAX_UTILISATION * 0.8
    assert (short > 0).all()
    assert run.unserved[0][:, part] == pytest.approx(short, rel=1e-4)
    assert run.unserved.dtype == np.float32


def test_a_block_is_a_day_or_a_tenth_of_the_counted_part() -> None:
    task = wavy_task()
    n_counted = task.course.n_steps - task.n_prelude
    assert (n_counted, task_block(task)) == (120, 12)
    assert task_block(wavy_task(5000, max_test_steps=1500)) == 144
