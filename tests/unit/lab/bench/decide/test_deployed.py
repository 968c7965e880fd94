"""Harmony as deployed is a policy like the others: memory passed in and out, never changed."""

from __future__ import annotations

import numpy as np

from services.lab.bench.decide.deployed import Deployed
from services.simulator.policies.grid import GridView

STEP_S = 600.0


def see(now_s: float, *, paths: np.ndarray | None, violation: float = 0.0) -> GridView:
    counts = np.full((2, 3), 12.0)
    return GridView(
        now_s,
        STEP_S,
        np.full((3, 20), 9.0),
        counts,
        np.zeros((2, 3)),
        counts,
        np.ones(3),
        np.ones(3),
        np.full(3, 99.0),
        paths,
        last_violation=np.full((2, 3), violation),
    )


def paths(scale: float = 10.0) -> np.ndarray:
    return scale * np.random.default_rng(7).lognormal(0.0, 0.3, (3, 50, 4))


def test_the_same_memory_gives_the_same_counts_however_often_it_is_used() -> None:
    policy = Deployed((0.01, 0.1), np.array([STEP_S]))
    _, memory = policy.decide(see(0.0, paths=paths()), policy.initial_state())
    kept = tuple(memory)
    first = policy.decide(see(STEP_S, paths=paths(), violation=1.0), memory)
    again = policy.decide(see(STEP_S, paths=paths(), violation=1.0), memory)
    np.testing.assert_array_equal(first[0], again[0])
    assert first[1] == again[1] != memory
    assert memory == kept


def test_a_looser_promise_asks_for_no_more() -> None:
    policy = Deployed((0.01, 0.1), np.array([STEP_S]))
    wanted, _ = policy.decide(see(0.0, paths=paths()), policy.initial_state())
    assert (wanted[1] <= wanted[0]).all()
    assert (wanted[1] < wanted[0]).any()


def test_without_any_forecast_everything_is_held() -> None:
    policy = Deployed((0.01, 0.1), np.array([STEP_S]))
    wanted, memory = policy.decide(see(0.0, paths=None), policy.initial_state())
    assert (wanted == 12.0).all()
    assert len(memory) == 2
