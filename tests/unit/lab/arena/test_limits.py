"""The limit that is found is the one that the engine has."""

from __future__ import annotations

from typing import Any

import pytest

from services.lab.arena.alone import measure_alone
from services.lab.arena.engine import EngineChoice
from services.lab.arena.goals import RequestGoals
from services.lab.arena.limits import LimitFinder, LimitSearch, RateLimit
from services.lab.arena.requests import Shape, lognormal_mix
from tests.unit.lab.arena.fake_engine import FakeEngine

SEARCH = LimitSearch(share=0.05)


def limit(carried: float, shape: Shape, goals: RequestGoals) -> RateLimit:
    engine: Any = FakeEngine(EngineChoice("m", "g"), carried)
    return LimitFinder(engine, measure_alone(engine), goals).find(shape, lognormal_mix(), SEARCH)


@pytest.mark.parametrize("carried", [20.0, 300.0, 20_000.0])
def test_the_rate_is_within_a_step_of_the_truth(carried: float) -> None:
    found = limit(carried, Shape(100, 50), RequestGoals(9000, 100))
    assert found.rate * 100 == pytest.approx(carried, rel=0.2)
    assert found.missed_ttft == 1.0
    assert found.missed_tpot == 0.0


def test_what_misses_alone_is_not_held_against_the_rate() -> None:
    found = limit(3000.0, Shape(1000, 50), RequestGoals(3000, 100))
    assert found.floor > 0.02
    assert found.rate * 1000 == pytest.approx(3000, rel=0.2)


def test_no_rate_keeps_what_the_engine_cannot() -> None:
    assert limit(0.0, Shape(100, 50), RequestGoals(9000, 100)).rate < 0.01


def test_no_rate_keeps_a_goal_that_every_request_misses_alone() -> None:
    found = limit(3000.0, Shape(100, 50), RequestGoals(9000, 10))
    assert found.floor == 1.0
    assert found.rate == 0.0
