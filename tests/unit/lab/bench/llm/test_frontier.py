"""GPU-hours for a goodput."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from services.lab.bench.llm.frontier import GoodputPoint, front, hours_at

POINT = st.builds(GoodputPoint, st.floats(0.5, 1.0), st.floats(0.5, 50.0))


def points(*pairs: tuple[float, float]) -> list[GoodputPoint]:
    return [GoodputPoint(*pair) for pair in pairs]


def test_between_neighbours_logarithms_are_interpolated() -> None:
    found = hours_at(points((0.9, 4.0), (0.99, 9.0)), 1 - 0.1**1.5)
    assert found == pytest.approx(6.0)


def test_what_no_setting_reaches_is_never_and_the_leanest_is_the_least() -> None:
    family = points((0.95, 4.0), (0.98, 6.0))
    assert hours_at(family, 0.99) is None
    assert hours_at(family, 0.9) == pytest.approx(4.0)
    assert hours_at([], 0.9) is None


def test_what_another_setting_beats_in_both_does_not_count() -> None:
    family = points((0.9, 4.0), (0.95, 9.0), (0.99, 9.5), (0.97, 20.0))
    assert [one.gpu_hours for one in front(family)] == [4.0, 9.0, 9.5]


@given(st.lists(POINT, min_size=1, max_size=8), st.floats(0.5, 0.9999))
def test_no_point_beats_the_front_and_more_goodput_never_takes_less(
    family: list[GoodputPoint], goodput: float
) -> None:
    found = hours_at(family, goodput)
    reached = [one.gpu_hours for one in family if one.goodput >= goodput]
    assert (found is None) == (not reached)
    if found is not None:
        assert found <= min(reached) * (1 + 1e-9)
        lower = hours_at(family, goodput - 0.01)
        assert lower is not None
        assert lower <= found * (1 + 1e-9)
        assert found >= np.min([one.gpu_hours for one in family]) * (1 - 1e-9)
