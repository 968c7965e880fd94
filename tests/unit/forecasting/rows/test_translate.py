"""From packed samples to windows: nothing after the origin, schedules apart."""

from __future__ import annotations

import numpy as np

from forecaster.config import WindowConfig
from services.forecasting.rows.translate import (
    SAMPLE,
    IndicatorKey,
    WorkloadRow,
    join_samples,
    known_ahead_keys,
    to_windows,
)
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


def packed(first: int, last: int) -> bytes:
    """Steps `first`..`last` from the origin; the value of a step is 100 + its offset."""
    offsets = np.arange(first, last + 1)
    return np.array([(k, 100 + k) for k in offsets], dtype=SAMPLE).tobytes()


def test_of_steps_to_come_only_schedules_are_read() -> None:
    rows = [workload(1), workload(2, has_schedule=False)]
    samples = {
        IndicatorKey(n, name): packed(-60, 10) for n in (1, 2) for name in ("load_rps", "campaign")
    }
    windows = to_windows(rows, samples, 0, WINDOW)
    assert windows.future_values[0, :, 1].tolist() == [101, 102, 103, 104]
    assert windows.future_observed.sum(axis=1).tolist() == [[0, 4], [0, 0]]
    assert windows.season_observed[:, 0, -2:].any(axis=(0, 1)).tolist() == [False, False]
    assert windows.values[:, -1].tolist() == [[100, 100], [100, 100]]


def test_samples_of_before_and_after_the_origin_join() -> None:
    assert known_ahead_keys([workload(1), workload(2, has_schedule=False)]) == [
        IndicatorKey(1, "campaign")
    ]
    past = {IndicatorKey(1, "load_rps"): packed(-1, 0), IndicatorKey(1, "campaign"): packed(-1, 0)}
    joined = join_samples(
        past, {IndicatorKey(1, "campaign"): packed(1, 2), IndicatorKey(3, "campaign"): packed(1, 1)}
    )
    assert joined == {
        IndicatorKey(1, "load_rps"): packed(-1, 0),
        IndicatorKey(1, "campaign"): packed(-1, 2),
        IndicatorKey(3, "campaign"): packed(1, 1),
    }
