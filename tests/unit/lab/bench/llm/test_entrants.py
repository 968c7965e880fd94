"""What Harmony and the Planner are told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.lab.arena.loop import SERVE
from services.lab.bench.llm.entrants import PLANNERS, SLO_SCALES, harmony_setup, stated_loads
from services.lab.bench.llm.families import N_SETTINGS
from services.lab.bench.llm.race import Race
from services.lab.bench.llm.rivals.capacity import WorkLaw
from services.lab.bench.llm_product.setup import INPUT, OUTPUT, REQUESTS
from tests.unit.lab.bench.llm.queue_engine import GOALS, small_trace

RACE = Race(small_trace(history=True), 7, 60.0, {SERVE: WorkLaw(0.5, 0.0, 0.0)})


def test_loads_of_a_full_replica_are_stated_where_they_bind() -> None:
    law = WorkLaw(0.1, 0.0008, 0.0)  # of half a second, 0.4 s for 500 tokens of the prompt
    assert stated_loads(RACE.trace.shape, law) == pytest.approx({REQUESTS: 2.0, INPUT: 1000.0})
    both = stated_loads(RACE.trace.shape, WorkLaw(0.1, 0.0004, 0.1))
    assert both == pytest.approx({REQUESTS: 2.0, INPUT: 1000.0, OUTPUT: 4.0})


def test_harmony_is_told_no_more_than_its_setup() -> None:
    setup = harmony_setup(RACE, 0.99, {SERVE: WorkLaw(0.25, 0.0, 0.0)})
    assert setup.stated == pytest.approx({REQUESTS: 4.0})
    assert (setup.promise, setup.startup_s, setup.goals) == (0.99, 60.0, GOALS)
    assert (setup.initial, setup.max_replicas) == (RACE.initial[SERVE], 16)


def test_how_long_requests_to_come_are_harmony_is_not_told() -> None:
    trace, laws = RACE.trace, {SERVE: WorkLaw(0.1, 0.0008, 0.0)}
    later = trace.requests.arrival_ms >= trace.warm_s * 1e3
    inputs = np.where(later, 2_000, trace.requests.input_tokens)
    others = replace(
        RACE, trace=replace(trace, requests=replace(trace.requests, input_tokens=inputs))
    )
    assert others.trace.shape.mean_input > RACE.trace.shape.mean_input + 1_000
    assert harmony_setup(others, 0.99, laws) == harmony_setup(RACE, 0.99, laws)


def test_the_planner_gets_the_history_and_its_goals_scaled() -> None:
    assert len(SLO_SCALES) == N_SETTINGS
    setup = PLANNERS["planner_told"].setup(RACE, 0.5)
    assert setup.starting_told
    assert setup.history is RACE.trace.history
    assert setup.config(RACE.setup, 1)["ttft_ms"] == 1000.0
    assert not PLANNERS["planner_throughput"].by_load
