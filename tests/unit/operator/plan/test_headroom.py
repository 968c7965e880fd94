"""What is asked for of headroom, and what is advised."""

from __future__ import annotations

import pytest

from services.operator.plan.headroom import (
    HeadroomAdvice,
    StatedHeadroom,
    TypeHeadroom,
    most_careful,
)
from tests.unit.operator.examples import NOW


def test_of_two_that_say_something_the_more_careful_holds() -> None:
    advise, off = StatedHeadroom("advise", 0.05), StatedHeadroom("off", 0.2)
    assert most_careful(None, None) is None
    assert most_careful(advise, None) == most_careful(None, advise) == advise
    assert most_careful(advise, off) == most_careful(off, advise) == StatedHeadroom("off", 0.05)
    assert most_careful(advise, StatedHeadroom("apply", 0.01)) == StatedHeadroom("advise", 0.01)
    assert most_careful(StatedHeadroom("apply"), advise) == advise
    assert most_careful(StatedHeadroom("apply"), StatedHeadroom("apply")) == StatedHeadroom("apply")


def test_it_is_on_unless_it_is_stated_to_be_off() -> None:
    assert not TypeHeadroom().is_off
    assert not TypeHeadroom(StatedHeadroom("advise", 0.01)).is_off
    assert TypeHeadroom(StatedHeadroom("off", 0.01)).is_off
    assert TypeHeadroom(StatedHeadroom("apply", 0.01)).is_applied
    assert not TypeHeadroom(StatedHeadroom("advise", 0.01)).is_applied


def test_it_averts_what_it_lowers_the_chance_by() -> None:
    advice = HeadroomAdvice(0.01, 9, 16, 8, 0, 0.2, 0.0075, 40.0, False, 2, 0, 0.0, NOW)
    assert advice.risk_averted == pytest.approx(0.1925)
