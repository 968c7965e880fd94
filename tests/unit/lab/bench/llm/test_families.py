"""Grids of equal size."""

from __future__ import annotations

import pytest

from services.lab.arena.loop import SERVE
from services.lab.bench.llm.families import (
    FAMILIES,
    GOODPUTS,
    N_SETTINGS,
    SIMPLE,
)
from services.lab.bench.llm.race import Race
from services.lab.bench.llm.rivals.capacity import WorkLaw
from services.lab.bench.llm.score import minutes_of
from tests.unit.lab.bench.llm.queue_engine import QueueEngine, small_trace

RACE = Race(small_trace(), 7, 0.0, {SERVE: WorkLaw(0.5, 0.0, 0.0)})
"""Workers are there at once: a lean HPA that waits for them holds much for its queue, and long."""


def test_every_family_has_as_many_settings() -> None:
    assert {len(family.settings) for family in FAMILIES.values()} == {N_SETTINGS}
    assert len(GOODPUTS) == N_SETTINGS
    assert set(SIMPLE) <= set(FAMILIES)


@pytest.mark.parametrize("name", FAMILIES)
def test_settings_go_from_lean_to_rich(name: str) -> None:
    family, setup = FAMILIES[name], RACE.setup
    hours, goodputs = [], []
    for setting in (family.settings[0], family.settings[-1]):
        policy = family.policy(RACE, setting)
        found = QueueEngine().loop(RACE.trace.requests, setup, policy)
        hours.append(found.alive[SERVE].worker_s(60.0, 660.0))
        scored = minutes_of(found, RACE.trace.goals, RACE.trace.max_workers)
        goodputs.append(scored.part(1, 11).goodput)
    assert hours[0] < hours[1]
    assert goodputs[0] <= goodputs[1]
