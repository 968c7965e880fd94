"""Limits and curves of a table of points."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.kernel.errors import InvalidInput
from services.lab.bench.loads.curves import LOG_USES, EngineCurves
from tests.unit.lab.bench.loads.engine_points import INPUTS, KNOWN, OUTPUTS, points

CURVES = EngineCurves.of(points())


def test_limits_are_the_rates_at_which_the_tolerated_share_misses() -> None:
    one = np.stack([np.ones(36), np.repeat(INPUTS, 6), np.tile(OUTPUTS, 6)], axis=1)
    expected = 1.0 / KNOWN.use(one, np.zeros(36, dtype=np.int64))
    assert np.exp(CURVES.log_limit).ravel() == pytest.approx(expected, rel=0.01)
    assert CURVES.floor == pytest.approx(np.full((6, 6), 0.004))


def test_curves_climb() -> None:
    assert (np.diff(CURVES.log_odds, axis=2) >= 0).all()
    at_limit = np.argmin(np.abs(LOG_USES))
    assert CURVES.log_odds[..., at_limit] == pytest.approx(
        np.full((6, 6), np.log(0.05 / 0.95)), abs=0.4
    )


def test_what_lies_between_compositions_is_weighed_and_what_lies_beyond_is_moved_to_the_edge() -> (
    None
):
    middle = np.sqrt(INPUTS[2] * INPUTS[3])
    loads = np.array([[2.0, 2 * middle, 2 * OUTPUTS[1]], [2.0, 1.0, 1e6]])
    found = CURVES.corners(loads).mean(CURVES.log_limit)
    assert found[0] == pytest.approx(CURVES.log_limit[2:4, 1].mean())
    assert found[1] == pytest.approx(CURVES.log_limit[0, -1])


def test_a_composition_is_covered_or_not() -> None:
    loads = np.array([[2.0, 1000.0, 100.0], [2.0, 10.0, 100.0], [0.0, 0.0, 0.0]])
    assert CURVES.covers(loads).tolist() == [True, False, False]


def test_a_composition_with_one_point_is_refused() -> None:
    with pytest.raises(InvalidInput, match="1 points at 200 and 20 tokens"):
        EngineCurves.of(replace(points(1), replicas=points(1).replicas))
