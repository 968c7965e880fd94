"""Constants of the generated fleet agree with the figures that are stated beside them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from services.simulator.fleet import calibration
from services.simulator.fleet.calibrate import fit_constants

Z_95 = 1.645
Z_75 = 0.6745
DATA = Path(
    os.environ.get("HARMONY_DATA_DIR", Path(__file__).resolve().parents[5] / "shared" / "data")
)


def test_a_slow_cold_start_is_the_stated_percentile() -> None:
    slow_s = calibration.BASE_MODEL_LOAD_MEDIAN_S * np.exp(Z_95 * calibration.BASE_MODEL_LOAD_SIGMA)
    assert slow_s == pytest.approx(45.5, rel=0.01)


def test_queues_below_saturation_are_short() -> None:
    slow_s = calibration.QUEUE_WAIT_MEDIAN_S * np.exp(Z_95 * calibration.QUEUE_WAIT_SIGMA)
    assert 0.45 <= slow_s <= 0.6
    assert slow_s < calibration.DIFFUSION_LATENCY_MEDIAN_S


def test_spreads_are_of_one_size() -> None:
    sigmas = (
        calibration.BASE_MODEL_LOAD_SIGMA,
        calibration.QUEUE_WAIT_SIGMA,
        calibration.LATENCY_TAIL_SIGMA,
        calibration.DUTY_SIGMA,
    )
    assert all(0.3 < sigma < 0.7 for sigma in sigmas)
    assert 1.0 < calibration.LATENCY_TAIL_RATIO < 2.5


def test_changes_and_ranges_rise() -> None:
    assert len(calibration.STEP_CHANGE_LOG) == 3
    assert len(calibration.DAILY_RANGE_LOG) == 2
    for rising in (calibration.STEP_CHANGE_LOG, calibration.DAILY_RANGE_LOG):
        assert all(0 < value < 1.5 for value in rising)
        assert list(rising) == sorted(rising)


@pytest.mark.skipif(not DATA.is_dir(), reason=f"public traces not found at {DATA}")
def test_every_constant_is_one_that_is_fitted() -> None:
    fitted = fit_constants(DATA)
    assert set(fitted) == {name for name in vars(calibration) if name.isupper()}
    for name, value in fitted.items():
        assert getattr(calibration, name) == pytest.approx(value, rel=0.02)
