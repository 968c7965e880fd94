"""What happens to made-up demand: factors that are positive, peaks that end, whole jobs, gaps."""

from __future__ import annotations

import numpy as np
import pytest

from forecaster.pretrain import events
from forecaster.pretrain.kernels import Grid

GRID = Grid(3000, 600, 86_400)
SEEDS = range(12)


@pytest.mark.parametrize(
    "make", [events.weekly_calendar, events.office_hours, events.level_changes]
)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_factor_is_positive_and_finite(make: object, seed: int) -> None:
    factor = make(np.random.default_rng(seed), GRID)  # type: ignore[operator]
    assert factor.shape == (3000,)
    assert np.isfinite(factor).all()
    assert (factor > 0).all()


def test_a_calendar_repeats_by_the_week_but_for_holidays() -> None:
    factor = events.weekly_calendar(np.random.default_rng(1), GRID)
    same = np.isclose(factor[: -7 * 144], factor[7 * 144 :])
    assert same.mean() > 0.7
    assert len(np.unique(factor)) <= 3


@pytest.mark.parametrize("seed", SEEDS)
def test_bursts_add_and_end(seed: int) -> None:
    added = events.bursts(np.random.default_rng(seed), GRID)
    assert (added >= 0).all()
    assert np.isfinite(added).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_pauses_are_on_or_off(seed: int) -> None:
    assert set(np.unique(events.pauses(np.random.default_rng(seed), GRID))) <= {0.0, 1.0}


def test_jobs_are_whole_and_leave() -> None:
    jobs = events.jobs_in_service(np.random.default_rng(2), GRID, np.ones(3000))
    np.testing.assert_array_equal(jobs, np.round(jobs))
    assert (jobs >= 0).all()
    idle = np.where(np.arange(3000) < 1000, 1.0, 0.0)
    late = events.jobs_in_service(np.random.default_rng(2), GRID, idle)
    assert late[-1] < late[:1000].max()


def test_gaps_hide_some_steps() -> None:
    seen = np.mean([events.gaps(np.random.default_rng(seed), GRID).mean() for seed in SEEDS])
    assert 0.5 < seen < 1
