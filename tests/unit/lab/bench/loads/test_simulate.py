"""A run: what is shown to a policy, and what is counted of its replicas."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from services.lab.bench.loads.simulate import LoadView, simulate_loads
from services.simulator.policies.grid import FloatArray
from tests.unit.lab.bench.loads.small import fake_forecasts, load_task

TASK = load_task()
FORECASTS = fake_forecasts(TASK)


@dataclass(frozen=True)
class Fixed:
    """Asks for the same counts for ever, and keeps what it is shown."""

    counts: tuple[float, ...]
    name: str = "fixed"
    shown: list[LoadView] = field(default_factory=list)

    @property
    def n_settings(self) -> int:
        return len(self.counts)

    def label(self, setting: int) -> str:
        return f"{self.counts[setting]:g} replicas"

    def initial_state(self) -> int:
        return 0

    def decide(self, view: LoadView, state: int) -> tuple[FloatArray, int]:
        self.shown.append(view)
        return np.repeat(np.array(self.counts)[:, None], 3, axis=1), state + 1

    def believed_need(self, loads: FloatArray) -> FloatArray:
        return np.asarray((loads / TASK.stated).max(axis=1))


def test_more_replicas_are_never_out_of_sla_where_fewer_are_not() -> None:
    run = simulate_loads(Fixed((15.0, 25.0, 60.0)), TASK, FORECASTS)
    rates = run.violation_ratio[..., 5:].mean(axis=(1, 2))
    assert rates[0] > rates[1] > 0
    assert rates[2] == 0
    assert (np.diff(run.violation_ratio, axis=0) <= 0).all()
    assert run.labels == ("15 replicas", "25 replicas", "60 replicas")
    assert np.array_equal(run.measured_ratio, run.violation_ratio)


def test_what_is_believed_goes_by_what_was_stated() -> None:
    run = simulate_loads(Fixed((22.0,)), TASK, FORECASTS)
    need = (TASK.truth.loads / TASK.stated[:, :, None]).max(axis=1)
    expected = (np.ceil(need[:, 5:]) > 22.0).astype(float)
    assert run.believed_ratio[0][:, 5:] == pytest.approx(expected)


def test_a_policy_sees_the_past_of_all_loads_alone() -> None:
    policy = Fixed((20.0,))
    simulate_loads(policy, TASK, FORECASTS)
    assert len(policy.shown) == TASK.decide.course.n_steps
    view = policy.shown[7]
    assert np.array_equal(view.loads, TASK.loads[:, :, : TASK.n_before + 7])
    assert np.array_equal(view.grid.demand, view.loads[:, 0])
    assert view.paths is not None
    assert view.paths.shape[:2] == (3, 3)
    assert np.array_equal(view.last_requests, TASK.truth.luck.requests[:, 6])
    assert view.grid.last_missed is not None
    assert ((view.grid.last_missed >= 0) & (view.grid.last_missed <= 1)).all()
    assert policy.shown[0].grid.last_missed is None


def test_before_the_first_step_the_first_replicas_stand() -> None:
    policy = Fixed((20.0,))
    run = simulate_loads(policy, TASK, FORECASTS, first_step=10)
    assert len(policy.shown) == TASK.decide.course.n_steps - 10
    assert np.array_equal(run.asked[0, :, 9], TASK.decide.course.initial)
    assert (run.asked[0, :, 10:] == 20).all()
