"""Builders shared by the tests of policies on grids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from services.simulator.policies.grid import GridPolicy, GridView


def _grid(value: Any, n_settings: int, n_workloads: int) -> np.ndarray:
    return np.broadcast_to(np.asarray(value, dtype=float), (n_settings, n_workloads)).copy()


def _view(
    demand: Any,
    *,
    ready: Any = 10,
    starting: Any = 0,
    replicas: Any = None,
    capacity: Any = 1.0,
    low: Any = 1,
    high: Any = 100,
    now_s: float = 0.0,
    step_s: float = 60.0,
    n_settings: int = 1,
) -> GridView:
    seen = np.asarray(demand, dtype=float)
    seen = seen.reshape(1, -1) if seen.ndim < 2 else seen
    W = seen.shape[0]
    spec = np.add(ready, starting) if replicas is None else replicas

    def each(value: Any) -> np.ndarray:
        return np.broadcast_to(np.asarray(value, dtype=float), (W,)).copy()

    return GridView(
        now_s,
        step_s,
        seen,
        _grid(ready, n_settings, W),
        _grid(starting, n_settings, W),
        _grid(spec, n_settings, W),
        each(capacity),
        each(low),
        each(high),
    )


@pytest.fixture(scope="session")
def see() -> Callable[..., GridView]:
    """Builds a view; numbers are spread over settings and workloads."""
    return _view


@pytest.fixture(scope="session")
def once() -> Callable[..., float]:
    """The first answer of a policy with one setting for one workload."""

    def answer(policy: GridPolicy[Any], view: GridView, state: Any = None) -> float:
        before = policy.initial_state() if state is None else state
        return float(policy.decide(view, before)[0][0, 0])

    return answer


@pytest.fixture(scope="session")
def drive() -> Callable[..., np.ndarray]:
    """Runs a policy whose answers are ready at once: (T, G, W) answers to the demand (W, T)."""

    def run(
        policy: GridPolicy[Any],
        demand: Any,
        *,
        ready: Any = 10,
        step_s: float = 60.0,
        state: Any = None,
        fixed: bool = False,
        **bounds: Any,
    ) -> np.ndarray:
        seen = np.asarray(demand, dtype=float)
        seen = seen.reshape(1, -1) if seen.ndim < 2 else seen
        state = policy.initial_state() if state is None else state
        current = _grid(ready, policy.n_settings, seen.shape[0])
        answers = []
        for t in range(seen.shape[1]):
            view = _view(
                seen[:, : t + 1],
                ready=current,
                now_s=step_s * t,
                step_s=step_s,
                n_settings=policy.n_settings,
                **bounds,
            )
            wanted, state = policy.decide(view, state)
            answers.append(wanted)
            current = current if fixed else wanted
        return np.array(answers)

    return run


@pytest.fixture(scope="session")
def path(drive: Callable[..., np.ndarray]) -> Callable[..., list[float]]:
    """`drive` for one setting and one workload, as a list."""

    def run(policy: GridPolicy[Any], loads: Sequence[float], **given: Any) -> list[float]:
        return [float(n) for n in drive(policy, loads, **given)[:, 0, 0]]

    return run
