"""KEDA against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from services.simulator.policies.reactive.keda import KedaGrid
from tests.unit.simulator.policies.grid_views import once, see


@pytest.mark.parametrize(
    ("demand", "target", "wanted"),
    [
        (6.0, 100, 3.0),  # just held
        (6.5, 100, 3.0),  # within the tolerance of a tenth
        (6.7, 100, 4.0),
        (9.0, 100, 5.0),
        (6.0, 50, 6.0),
        (1.0, 100, 3.0),  # the count found is the largest proposal of the last five minutes
        (float("nan"), 100, 3.0),
    ],
)
def test_the_whole_demand_over_the_target(demand, target, wanted):
    assert once(KedaGrid(float(target)), see([demand]))[0, 0] == wanted


def test_starts_under_way_damp_nothing():
    """The HPA on a metric of pods counts them as idle; KEDA's metric does not know them."""
    view = see([12.0], ready=np.full((1, 1), 1.0), starting=np.full((1, 1), 2.0))
    assert once(KedaGrid(100.0), view)[0, 0] == 6.0


def test_it_falls_once_the_window_has_passed():
    policy = KedaGrid(np.array([50.0, 100.0]))
    state = policy.initial_state()
    for now_s in (0.0, 200.0, 320.0):
        view = see([2.0], n_settings=2, now_s=now_s, replicas=6.0)
        wanted, state = policy.decide(view, state)
    np.testing.assert_array_equal(wanted[:, 0], [2.0, 1.0])


def test_a_target_is_a_whole_per_cent():
    with pytest.raises(ValueError, match=r"12\.5"):
        KedaGrid(12.5)
