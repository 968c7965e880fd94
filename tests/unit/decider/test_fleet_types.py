"""What is held elsewhere must fit together."""

from __future__ import annotations

import numpy as np
import pytest

from decider.errors import InvalidRequest
from decider.fleet_types import Elsewhere


def test_parts_and_prices_of_any_number_are_taken() -> None:
    one = Elsewhere(np.array([3, 0]), np.zeros((2, 5), dtype=np.int64))
    assert one.held_gpus.sum() == 3


@pytest.mark.parametrize(
    ("held", "demand", "message"),
    [([1, 2], [[1], [2], [3]], "held_gpus"), ([1], [1], "demand_gpus"), ([-1], [[1]], ">= 0")],
)
def test_contradictory_parts_are_refused(held: list, demand: list, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        Elsewhere(np.array(held), np.array(demand))
