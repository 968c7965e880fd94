from __future__ import annotations

import numpy as np
import pytest

from decider import StepQuantiles
from decider.errors import InvalidRequest

LEVELS = np.array([0.1, 0.5, 0.9])


@pytest.mark.parametrize(
    ("levels", "values", "message"),
    [
        (np.array([0.5]), np.ones((1, 2)), "at least two"),
        (np.array([0.5, 0.5]), np.ones((2, 2)), "must increase"),
        (np.array([0.5, 1.0]), np.ones((2, 2)), "must increase"),
        (LEVELS, np.ones((2, 4)), r"must be \(3, H\)"),
        (LEVELS, np.ones((3, 0)), "H >= 1"),
    ],
)
def test_impossible_functions_are_refused(
    levels: np.ndarray, values: np.ndarray, message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message):
        StepQuantiles(levels, values)


def test_an_aged_function_goes_on_with_its_last_step() -> None:
    aged = StepQuantiles(LEVELS, np.arange(12.0).reshape(3, 4)).aged(3)
    assert aged.values.tolist() == [[3.0] * 4, [7.0] * 4, [11.0] * 4]


def test_a_hole_makes_it_useless() -> None:
    values = np.ones((3, 2))
    assert StepQuantiles(LEVELS, values).is_usable
    values[1, 1] = np.nan
    assert not StepQuantiles(LEVELS, values).is_usable
