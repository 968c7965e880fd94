"""Quantile functions by the time of the decision."""

from __future__ import annotations

import numpy as np
import pytest

from services.simulator.policies.predictive.known_laws import KnownLaws

LEVELS = np.array([0.1, 0.9])
VALUES = np.arange(24.0).reshape(3, 2, 2, 2)
LAWS = KnownLaws(LEVELS, VALUES, first_s=600.0, step_s=60.0)


def test_a_decision_reads_the_forecast_of_its_own_time():
    found = LAWS.at(660.0)
    assert len(found) == 2
    np.testing.assert_array_equal([one.values for one in found], VALUES[1])
    np.testing.assert_array_equal(found[0].levels, LEVELS)


@pytest.mark.parametrize("now_s", [540.0, 780.0])
def test_where_nothing_was_forecast_there_is_nothing_to_read(now_s):
    with pytest.raises(ValueError, match=f"now_s={now_s}"):
        LAWS.at(now_s)
