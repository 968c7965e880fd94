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
from tests.unit.lab.bench.llm.queue_engine import QueueEngine, small_trace

RACE = Race(small_trace(), 7, 30.0, {SERVE: WorkLaw(0.5, 0.0, 0.0)})


def test_every_family_has_as_many_settings() -> None:
    assert {len(family.settings) for family in FAMILIES.values()} == {N_SETTINGS}
    assert len(GOODPUTS) == N_SETTINGS
    assert set(SIMPLE) <= set(FAMILIES)


@pytest.mark.parametrize("name", FAMILIES)
def test_settings_go_from_lean_to_rich(name: str) -> None:
    family, setup = FAMILIES[name], RACE.setup
    hours = []
    for setting in (family.settings[0], family.settings[-1]):
        policy = family.policy(RACE, setting)
        found = QueueEngine().loop(RACE.trace.requests, setup, policy)
        hours.append(found.alive[SERVE].worker_s(60.0, 660.0))
    assert hours[0] < hours[1] or name.endswith("_kv")
