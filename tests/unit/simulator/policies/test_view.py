"""Views that no policy could act on, and whole replicas."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from services.simulator.policies.view import replicas_for
from tests.unit.simulator.policies.workload_views import see


@given(replicas=st.integers(0, 10_000), capacity=st.floats(1e-3, 1e6))
def test_whole_replicas_serve_their_own_capacity(replicas, capacity):
    assert replicas_for(replicas * capacity, capacity) == replicas


@pytest.mark.parametrize(
    "bad",
    [
        {"step_s": 0.0},
        {"capacity": 0.0},
        {"low": 9, "high": 3},
        {"replicas": -1},
    ],
)
def test_a_view_that_cannot_be_acted_on_is_refused(bad):
    with pytest.raises(ValueError, match="must"):
        see([1.0], **bad)
