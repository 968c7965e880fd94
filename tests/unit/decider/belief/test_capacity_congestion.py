"""Congestion and its inverse: the response curve as capacity reads it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, strategies as st

from decider.belief.capacity import SATURATION, congestion, utilisation_within

sharpnesses = st.floats(0.5, 5.0)


def test_congestion_by_hand() -> None:
    rho = np.array([0.5, SATURATION, 1.0])
    # 0.25 / 0.5; 0.9025 * 20; the tangent from 20 with slope 400 over 0.05.
    assert congestion(rho, np.asarray(2.0)) == pytest.approx([0.5, 18.05, 40.0])


@given(sharpnesses)
def test_the_continuation_joins_without_a_kink(sharpness: float) -> None:
    h = 1e-6
    at = congestion(SATURATION + np.array([-2 * h, -h, 0.0, h, 2 * h]), np.asarray(sharpness))
    below, above = (at[2] - at[0]) / (2 * h), (at[4] - at[2]) / (2 * h)
    assert above == pytest.approx(below, rel=1e-3)


@given(sharpnesses, st.floats(0.05, 5.0), st.floats(1.0, 50.0))
@example(b=2.0, a=1.0, times=1.0 + 2**-52)
def test_latency_at_the_utilisation_found_is_the_bound(b: float, a: float, times: float) -> None:
    rho = float(utilisation_within(np.asarray((times - 1.0) / a), np.asarray(b)))
    found = 1.0 + a * rho**b / (1.0 - rho)
    assert found == pytest.approx(times, rel=1e-6)
