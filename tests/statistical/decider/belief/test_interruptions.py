"""Intervals of a learned rate of interruptions hold it about as often as they say."""

from __future__ import annotations

import numpy as np
import pytest

from decider import learn_interruptions

LEVELS = np.array([0.05, 0.95])
N_SEEDS = 4000


@pytest.mark.parametrize(
    ("truth", "node_hours"),
    [(0.01, 1000.0), (0.04, 100.0), (0.04, 1000.0), (0.2, 30.0), (0.2, 100.0), (0.2, 1000.0)],
)
def test_a_90_percent_interval_holds_the_rate(truth: float, node_hours: float) -> None:
    """Where some interruptions were to be expected: before, the prior speaks."""
    counts = np.random.default_rng(7).poisson(truth * node_hours, N_SEEDS)
    inside = []
    for n in counts:
        low, high = learn_interruptions(float(n), node_hours).quantiles(LEVELS)
        inside.append(low <= truth <= high)
    share = float(np.mean(inside))
    print(f"\n{truth:5.2f} per node-hour, {node_hours:6.0f} node-hours: {share:.1%} inside")
    assert 0.83 <= share <= 0.95
