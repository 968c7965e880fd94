"""From stored steps to windows: nothing after the origin, schedules apart."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from forecaster import window_offsets
from forecaster.config import WindowConfig
from services.forecasting.rows.translate import SAMPLE, WorkloadRow, pack_samples, to_windows
from services.kernel.db.steps.blocks import SECOND_US
from services.kernel.db.steps.reading import SeenSteps
from services.kernel.domain import CapacitySpec, IndicatorSpec, WorkloadSpec

STEP_S = 600
WINDOW = WindowConfig(context=48, horizon=4, recent=24, season_past=6, season_lags_s=(2 * STEP_S,))


def workload(number: int, *, has_schedule: bool = True) -> WorkloadRow:
    spec = WorkloadSpec(
        target="Deployment/x",
        demand="load_rps",
        indicators=(
            IndicatorSpec(name="load_rps", level=1),
            IndicatorSpec(name="campaign", level=1, is_known_ahead=has_schedule),
        ),
        capacity=CapacitySpec(per_replica=1.0),
    )
    return WorkloadRow(number, "shop", f"w{number}", STEP_S, spec)


def values_at(n_workloads: int, n_indicators: int) -> np.ndarray:
    """The value of a step is 100 + its offset, whatever it is of."""
    steps = 100.0 + window_offsets(WINDOW, STEP_S)
    return np.tile(steps[None, :, None], (n_workloads, 1, n_indicators)).astype(np.float32)


def test_of_steps_to_come_only_schedules_are_read() -> None:
    rows = [workload(1), workload(2, has_schedule=False)]
    windows = to_windows(rows, values_at(2, 2), 0, WINDOW)
    assert windows.future_values[0, :, 1].tolist() == [101, 102, 103, 104]
    assert windows.future_observed.sum(axis=1).tolist() == [[0, 4], [0, 0]]
    assert windows.season_observed[:, 0, -2:].any(axis=(0, 1)).tolist() == [False, False]
    assert windows.values[:, -1].tolist() == [[100, 100], [100, 100]]


def test_a_load_below_zero_and_what_is_no_number_are_unobserved() -> None:
    values = values_at(1, 2)
    values[0, 5], values[0, 6], values[0, 7] = -1.0, np.nan, np.inf
    observed = to_windows([workload(1)], values, 0, WINDOW).observed
    assert observed[0, 4:9].tolist() == [
        [True, True],
        [False, True],
        *[[False] * 2] * 2,
        [True] * 2,
    ]


def test_a_step_off_the_grid_counts_as_the_one_nearest_to_it() -> None:
    at_us = np.array([-91, -90, -60, 0, 29, 30]) * SECOND_US
    steps = SeenSteps(at_us, np.arange(6, dtype=np.float32))
    packed = pack_samples(steps, datetime(1970, 1, 1, tzinfo=UTC), 60)
    assert np.frombuffer(packed, dtype=SAMPLE)["offset"].tolist() == [-2, -2, -1, 0, 0, 1]
