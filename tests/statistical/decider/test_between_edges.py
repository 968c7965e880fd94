"""Errors of what is estimated between two bucket edges, on latencies that are made by a seed.

`python -m pytest -q -s tests/statistical/decider/test_between_edges.py` prints them by the number
of observations that a law is found of, and by load. Nothing measured and nothing scored is in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

from decider import between_edges
from decider.between_edges import EdgeCounts, EdgeGap, met_between
from decider.types import FloatArray

Draw = Callable[[np.random.Generator, int], FloatArray]
"""Waits of some requests that come one after another, in any unit."""

pytestmark = pytest.mark.slow

ALONE_S = (
    (EdgeGap(0.025, 0.04, 0.05), 0.021),  # one token
    (EdgeGap(0.025, 0.04, 0.05), 0.027),  # all of them between the two edges, or beyond
    (EdgeGap(0.05, 0.06, 0.075), 0.034),
    (EdgeGap(0.25, 0.4, 0.5), 0.12),  # the first token
    (EdgeGap(0.25, 0.4, 0.5), 0.26),
    (EdgeGap(1.0, 2.0, 2.5), 0.3),
    (EdgeGap(5.0, 8.0, 10.0), 3.0),  # the whole answer
)
"""Thresholds between edges of vLLM's histograms, and what a request takes alone, in seconds."""
LOADS = (0.001, 0.005, 0.02, 0.1, 0.3)
"""Shares of requests that truly miss, all in all."""
N_OBSERVED = (300, 1000, 2000, 4000)
RATES = (30, 120, 600)
"""Requests of a step."""
N_STEPS, N_SEEDS = 120, 3


def _log_normal(rng: np.random.Generator, n: int) -> FloatArray:
    return rng.lognormal(0.0, 0.8, n)


def _erlang(rng: np.random.Generator, n: int) -> FloatArray:
    return rng.gamma(2.0, 0.5, n)


def _sometimes(rng: np.random.Generator, n: int) -> FloatArray:
    """Half of them wait for somebody else's prompt."""
    return np.where(rng.random(n) < 0.5, rng.exponential(1.0, n), 0.0)


def _queue(rng: np.random.Generator, n: int) -> FloatArray:
    """Waits of one queue at 80 % of what it serves: neighbours wait alike."""
    steps = rng.lognormal(-0.3, 0.6, n) * 0.8 - rng.exponential(0.886, n)
    walk = np.cumsum(steps)
    return np.asarray(walk - np.minimum(np.minimum.accumulate(walk), 0.0))


SHAPES: tuple[Draw, ...] = (_log_normal, _erlang, _sometimes, _queue)


@dataclass(frozen=True)
class Trace:
    """What a histogram tells of each step, and how many truly met the threshold."""

    gap: EdgeGap
    counts: EdgeCounts
    met: FloatArray


def traced(shape: Draw, case: tuple[EdgeGap, float], load: float, rate: int, seed: int) -> Trace:
    """Steps of which the load wanders, with bursts of three; `load` of the requests miss."""
    rng = np.random.default_rng(seed)
    wander = np.convolve(rng.normal(0.0, 0.1, N_STEPS + 9), np.ones(10) * 0.6, "valid")
    burst = np.repeat(rng.random(N_STEPS // 3) < 0.06, 3) * np.log(2.0)
    n = rng.poisson(rate * np.exp(0.5 * (wander + burst))) + 1
    step = np.repeat(np.arange(N_STEPS), n)
    waits = shape(rng, step.size) * np.exp(wander + burst)[step]
    gap, alone_s = case
    alone = alone_s * rng.lognormal(0.0, 0.06, step.size)
    lower, upper = 0.0, 1e4 * gap.above_s
    for _ in range(60):  # bisection on the length of a wait
        middle = 0.5 * (lower + upper)
        is_over = (alone + middle * waits > gap.threshold_s).mean() > load
        lower, upper = (lower, middle) if is_over else (middle, upper)
    latency = alone + lower * waits

    def of_steps(values: FloatArray) -> FloatArray:
        return np.bincount(step, values, minlength=N_STEPS).astype(float)

    below, met, upto = (
        of_steps((latency <= edge).astype(float))
        for edge in (gap.below_s, gap.threshold_s, gap.above_s)
    )
    return Trace(gap, EdgeCounts(of_steps(np.ones(step.size)), below, upto, of_steps(latency)), met)


@dataclass(frozen=True)
class Errors:
    """Of one load, over shapes, thresholds, rates and seeds.

    Attributes:
        true: Share that missed.
        estimated: Share estimated.
        window: Mean absolute logarithm of estimated to true misses of all steps of a trace.
        step: Mean over traces of the absolute errors of steps, as a share of the true misses.
    """

    true: float
    estimated: float
    window: float
    step: float


@cache
def traces(load: float) -> tuple[Trace, ...]:
    return tuple(
        traced(shape, case, load, rate, seed)
        for shape in SHAPES
        for case in ALONE_S
        for rate in RATES
        for seed in range(N_SEEDS)
    )


def errors(of_load: tuple[Trace, ...]) -> Errors:
    rows = []
    for one in of_load:
        true = one.counts.total - one.met
        found = one.counts.total - met_between(one.gap, one.counts)
        n, missed, estimate = one.counts.total.sum(), true.sum(), found.sum()
        log_ratio = np.log((estimate + 0.5) / (missed + 0.5))
        step = np.abs(found - true).sum() / max(missed, 1.0)
        rows.append((missed / n, estimate / n, abs(log_ratio), step))
    return Errors(*np.mean(rows, axis=0).tolist())


def errors_by_load() -> dict[float, Errors]:
    return {load: errors(traces(load)) for load in LOADS}


def line(found: dict[float, Errors]) -> str:
    cells = [f"{e.true:.4f} {e.estimated:.4f} {e.window:.3f} {e.step:.3f}" for e in found.values()]
    window, step = (
        np.mean([getattr(e, name) for e in found.values()]) for name in ("window", "step")
    )
    return " | ".join((*cells, f"mean {window:.3f} {step:.3f}"))


def total(found: dict[float, Errors]) -> float:
    return float(np.mean([e.window + e.step for e in found.values()]))


def with_value(patch: pytest.MonkeyPatch, name: str, value: float) -> dict[float, Errors]:
    patch.setattr(between_edges, name, value)
    found = errors_by_load()
    print(f"{name} {value:g}: {line(found)}")
    return found


def test_the_observations_that_a_law_is_found_of_are_those_with_the_least_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen = between_edges.N_OBSERVED
    print("\nby load: true share, estimated, error of the window, error of steps")
    found = {n: total(with_value(monkeypatch, "N_OBSERVED", float(n))) for n in N_OBSERVED}
    assert min(found, key=lambda n: found[n]) == chosen


def test_a_tail_of_nobody_is_not_made_out_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half an observation beyond the upper edge is a tail; far less makes all tails too thin."""
    print("\nby load: true share, estimated, error of the window, error of steps")
    chosen = between_edges.BEYOND_UPPER
    half, found = (with_value(monkeypatch, "BEYOND_UPPER", n) for n in (0.5, chosen))
    for load in LOADS:
        assert found[load].step < half[load].step + 1e-3
    assert found[LOADS[0]].step < 0.6 * half[LOADS[0]].step
    least = with_value(monkeypatch, "BEYOND_UPPER", 0.005)
    assert np.mean([e.window for e in least.values()]) > np.mean([e.window for e in found.values()])
