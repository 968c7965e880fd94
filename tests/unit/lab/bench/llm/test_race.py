"""What all policies share."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.lab.arena.loop import SERVE
from services.lab.bench.llm.race import Race
from services.lab.bench.llm.rivals.capacity import WorkLaw
from tests.unit.lab.bench.llm.queue_engine import small_trace

RACE = Race(small_trace(), 7, 60.0, {SERVE: WorkLaw(0.5, 0.0, 0.0)})


def test_everyone_starts_with_a_third_more_than_the_first_minutes_need() -> None:
    assert RACE.initial == {SERVE: 3}  # 4 requests/s of half a second
    assert RACE.setup.initial == {SERVE: 3}
    assert RACE.needed(SERVE).mean() == pytest.approx(
        0.5 * len(RACE.trace.requests) / 720, rel=0.05
    )
    assert replace(RACE, laws={SERVE: WorkLaw(500.0, 0.0, 0.0)}).initial == {SERVE: 16}


def test_whole_minutes_are_scored() -> None:
    assert (RACE.first_minute, RACE.last_minute) == (6, 11)
