"""Laws are the forecaster's quantile function, tails included."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtri

from decider.tables.demand_law import DemandLaw, pieces_of
from tests.unit.decider.tables.exact_cases import LEVELS, demand_points, steps_of


@pytest.mark.parametrize("shift", [0.0, -8.0])
def test_quantiles_and_mean_are_the_forecaster_s(shift: float) -> None:
    values = shift + 10.0 * np.exp(0.5 * ndtri(LEVELS))
    law, points = DemandLaw.of([steps_of(values)]), demand_points(values)
    assert law.mean[0, 0] == pytest.approx(points.mean(), rel=2e-3)
    for risk in (0.3, 0.05, 0.005, 0.001):
        exact = float(np.quantile(points, 1.0 - risk))
        assert law.exceeded_with(risk)[0, 0] == pytest.approx(exact, rel=1e-2)


def test_a_law_falls_from_one_to_nothing() -> None:
    law = DemandLaw.of([steps_of(-4.0 + 10.0 * np.exp(0.5 * ndtri(LEVELS)))])
    assert law.above[0, 0, 0] == 1.0
    assert law.above[0, 0, -1] == 0.0
    assert (np.diff(law.above) <= 0).all()
    assert (law.knots >= 0).all()


def test_crossing_quantiles_are_straightened() -> None:
    values = 10.0 + np.arange(LEVELS.size, dtype=float)
    values[5] = values[4] - 1e-6
    assert (np.diff(DemandLaw.of([steps_of(values)]).knots) >= 0).all()


@pytest.mark.parametrize("level", [1.0, 1e6, 1e12, 1e25])
def test_a_demand_without_spread_has_pieces_however_many_replicas_it_is_worth(level: float) -> None:
    """A capacity that is a slip of a unit makes a demand of 1e12 replicas."""
    law = DemandLaw.of([steps_of(np.full(LEVELS.size, level))])
    pieces = pieces_of(law, np.zeros(1), np.ones(1))
    assert (np.diff(pieces.knots) > 0).all()
    assert np.isfinite(pieces.jump).all()
