"""A trace's month: the same figures as `bench decide` as deployed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.lab.bench.decide.deployed import Deployed
from services.lab.bench.decide.figures import workload_figures
from services.lab.bench.decide.forecasts import Forecasts
from services.lab.bench.decide.run import choose, lead_draws
from services.lab.bench.decide.task import DecideTask
from services.lab.bench.month import trace_source as module
from services.lab.bench.month.source import RIVALS, MonthOptions, MonthSource
from services.lab.bench.month.trace_source import mean_demand_gpus, trace_source
from services.simulator.grid_run import simulate_grid
from services.simulator.policies.reactive.hpa import HpaGrid
from services.simulator.policies.rivals import rivals
from tests.unit.lab.bench.decide.tasks import STEP_S, decide_task, wave

OPTIONS = MonthOptions(n_workloads=0, epsilon=0.05)


def rough_forecasts(task: DecideTask) -> Forecasts:
    """Twenty paths around the demand of the step before."""
    demand, first = task.course.demand, 300
    rng = np.random.default_rng(0)
    noise = np.exp(0.1 * rng.standard_normal((demand.shape[1] - first, 2, 20, 4)))
    last = demand[:, first - 1 : -1].T
    return Forecasts(first, (last[:, :, None, None] * noise).astype(np.float32))


@pytest.fixture(scope="module")
def task() -> DecideTask:
    demands = [wave(1000), wave(1000, seed=1)]
    return decide_task(demands, max_test_steps=144, max_prelude_steps=320)


@pytest.fixture(scope="module")
def source(task: DecideTask) -> MonthSource:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "learned", lambda task, *_: rough_forecasts(task))
        return trace_source(task, OPTIONS, lambda *_: None)


def test_what_was_counted(task: DecideTask, source: MonthSource) -> None:
    assert set(source.policies) == {"harmony", *RIVALS}
    assert (source.kind, source.data, source.n_workloads) == ("trace", "hand", 2)
    assert source.days_measured == 144 * STEP_S / 86_400 == 1.0
    assert source.assumptions["steps_counted"] == 144
    assert source.assumptions["steps_of_prelude"] == task.n_prelude == 320


def test_harmony_is_the_one_of_bench_decide(task: DecideTask, source: MonthSource) -> None:
    """Leaving out answers at other risk levels, for explanations, changes no count."""
    policy = Deployed((OPTIONS.epsilon,), lead_draws(task))
    run = simulate_grid(policy, task.course, rough_forecasts(task).at)
    expected, own = workload_figures(task, run, 0), source.policies["harmony"]
    assert own.gpu_hours == expected.gpu_hours.sum() > 0
    np.testing.assert_array_equal(own.violation_rate, expected.violation_rate)


def test_settings_are_chosen_on_the_prelude(task: DecideTask, source: MonthSource) -> None:
    policy = rivals(float(STEP_S))["hpa"]
    assert isinstance(policy, HpaGrid)
    run = simulate_grid(policy, task.course)
    setting, is_kept = choose(task, run, 80, OPTIONS.epsilon)
    own = source.policies["hpa"]
    assert (own.setting, own.kept_where_chosen) == (run.labels[setting], is_kept)
    hours = run.asked[setting][:, task.n_prelude :].sum() * STEP_S / 3600.0
    assert own.gpu_hours == pytest.approx(float(hours))


def test_a_gpu_hour_costs_the_list_price(source: MonthSource) -> None:
    for one in source.policies.values():
        assert one.cost_usd == pytest.approx(2.5 * one.gpu_hours)
    assert source.assumptions["usd_per_gpu_hour"] == {"H100": 2.5}


def test_mean_demand_by_hand() -> None:
    # scaled to 20 GPUs of work each, at a utilisation of 0.85
    task = decide_task([np.full(1000, 10.0), np.full(1000, 5.0)], max_test_steps=100)
    assert mean_demand_gpus(task) == pytest.approx(2 * 20 / 0.85)
    demand, lives = task.course.demand.copy(), task.course.is_live.copy()
    demand[0, task.n_prelude : task.n_prelude + 40] = np.nan  # unknown is not zero
    lives[1, task.n_prelude + 25 :] = False  # what ended needs nothing
    changed = replace(task, course=replace(task.course, demand=demand, is_live=lives))
    assert mean_demand_gpus(changed) == pytest.approx((20 + 0.25 * 20) / 0.85)
