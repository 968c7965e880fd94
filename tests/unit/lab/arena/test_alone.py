"""Times of a request alone, and what follows from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from services.lab.arena.alone import measure_alone
from services.lab.arena.engine import EngineChoice
from services.lab.arena.goals import RequestGoals
from services.lab.arena.requests import RequestList
from tests.unit.lab.arena.fake_engine import FakeEngine

ENGINE: Any = FakeEngine(EngineChoice("m", "g"))
REQUESTS = RequestList(np.zeros(2), np.array([1000, 3000]), np.array([1, 101]))


def test_times_alone_are_found_and_hold_kv_space() -> None:
    law = measure_alone(ENGINE)
    assert law.token_s == pytest.approx(0.02)
    assert law.first_token_s(np.array([1000.0, 3000.0])) == pytest.approx([1.0, 3.0])
    assert law.kv_token_s(REQUESTS) == pytest.approx([1000.5 * 1.0, 3050.5 * 5.0])


def test_the_floor_is_what_misses_alone() -> None:
    law = measure_alone(ENGINE)
    assert law.floor(REQUESTS, RequestGoals(2000, 100)) == 0.5
    assert law.floor(REQUESTS, RequestGoals(9000, 100)) == 0.0
    assert law.floor(REQUESTS, RequestGoals(9000, 10)) == 1.0
