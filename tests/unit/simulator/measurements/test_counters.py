"""A counter only rises; a rate does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from services.simulator.measurements import read_file
from services.simulator.measurements.counters import only_rises
from tests.unit.simulator.measurements.texts import csv, lines, stamps

RISING = [float(k // 2) for k in range(20)]


@pytest.mark.parametrize(
    ("values", "is_one"),
    [
        (RISING, True),
        ([*RISING, np.nan, 30.0], True),
        ([*RISING, 3.0], False),
        ([4.0] * 20, False),
        (RISING[:9], False),
    ],
)
def test_what_never_falls_and_has_risen_is_a_counter(values: list[float], is_one: bool) -> None:
    assert only_rises(np.array(values)) is is_one


@pytest.mark.parametrize(
    ("name", "values", "is_said"),
    [
        ("http_requests_total", RISING, True),
        ("http_requests_total", RISING[::-1], False),
        ("rps", RISING, False),
    ],
)
def test_a_demand_that_is_a_counter_is_told(
    tmp_path: Path, name: str, values: list[float], is_said: bool
) -> None:
    found = read_file(csv(tmp_path, f"ts,{name}\n" + lines(stamps(20), values)))
    said = [line for line in found.said if "never falls, as a counter" in line]
    assert len(said) == is_said
