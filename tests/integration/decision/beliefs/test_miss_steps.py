"""Measured steps with all of their loads, from a real Postgres."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, event, text

from services.decision.beliefs.miss_steps import StepSpan, load_further_of_steps, load_steps
from services.kernel.domain.objective import WAITING
from tests.integration.decision.measured_loop import OBJECTIVE, STEP
from tests.integration.decision.measured_steps import READY, add_measured_steps
from tests.integration.decision.pool_rows import add_service
from tests.integration.decision.stored_rows import (
    NOW,
    ORIGIN,
    TOKENS,
    add_demand,
    add_workload,
    bound_by_tokens,
)
from tests.integration.decision.views import members_of

pytestmark = pytest.mark.integration
SLA = {"kind": "TimeFraction", "epsilon": 0.05, "objective": OBJECTIVE}
LAST = ORIGIN - timedelta(minutes=1)


def seeded(engine: Engine) -> tuple[int, int]:
    """One bound by tokens, of which the third last is not known; one by its demand alone."""
    bound = add_workload(engine, "bound", sla=SLA, **bound_by_tokens())
    plain = add_workload(engine, "plain", sla=SLA)
    for workload in (bound, plain):
        add_measured_steps(engine, workload, 9.0, np.linspace(5.0, 9.0, 6))
        tokens = [400.0, 440.0, 480.0, float("nan"), 0.0, 600.0]
        add_demand(engine, workload, tokens, last=LAST, indicator=TOKENS, step=STEP)
    return bound, plain


def test_loads_are_per_ready_replica_and_steps_with_an_unknown_one_left_out(
    database: Engine,
) -> None:
    bound, plain = seeded(database)
    first = dict.fromkeys((bound, plain), ORIGIN - timedelta(days=1))
    with database.connect() as connection:
        members = list(members_of(connection).values())
        found = load_steps(connection, members, StepSpan(first, ORIGIN, 100))
        newest = load_steps(connection, members, StepSpan(first, ORIGIN, 2))
        first[bound] = LAST - 2 * STEP
        later = load_steps(connection, members, StepSpan(first, ORIGIN, 100))
    np.testing.assert_allclose(
        found[bound].load[:, 1], np.array([400.0, 440.0, 480.0, 0.0, 600.0]) / READY
    )
    assert found[bound].steps_s[-1] == LAST.timestamp()
    assert found[bound].size == found[bound].missed.size == 5
    assert found[plain].load.shape == (6,)
    assert newest[bound].load.shape == (2, 2)
    assert later[bound].steps_s.tolist() == [(LAST - STEP).timestamp(), LAST.timestamp()]
    assert later[plain].size == 6


def test_who_has_no_further_load_costs_no_query(database: Engine) -> None:
    bound, plain = seeded(database)
    asked: list[Any] = []
    event.listen(database, "before_cursor_execute", lambda *given: asked.append(given[2]))
    with database.connect() as connection:
        members = members_of(connection)
        first = dict.fromkeys(members, ORIGIN - timedelta(days=1))
        asked.clear()
        assert load_further_of_steps(connection, [members[plain]], first, NOW) == {}
        assert asked == []
        found = load_further_of_steps(connection, list(members.values()), first, NOW)
    assert list(found) == [bound]
    assert len(asked) == 1


def test_steps_behind_a_queue_are_left_out(database: Engine) -> None:
    """It grew in the fourth of seven, was gone after the fifth, and the sixth is a minute after."""
    queued, empty, unknown = (
        add_workload(database, name, sla=SLA) for name in ("queued", "empty", "unknown")
    )
    for workload, waiting in ((queued, [0.0, 0.0, 0.0, 900.0, 0.0, 0.0, 0.0]), (empty, [0.0] * 7)):
        add_measured_steps(database, workload, 9.0, np.full(7, 5.0))
        add_demand(database, workload, waiting, last=LAST, indicator=WAITING, step=STEP)
    add_measured_steps(database, unknown, 9.0, np.full(7, 5.0))
    with database.begin() as connection:
        connection.execute(text("UPDATE workloads SET step_s = 60"))
    first = dict.fromkeys((queued, empty, unknown), ORIGIN - timedelta(days=1))
    with database.connect() as connection:
        members = list(members_of(connection).values())
        found = load_steps(connection, members, StepSpan(first, ORIGIN, 100))
        # The queue is older than the first step that is read.
        first[queued] = LAST - 3 * STEP
        later = load_steps(connection, members, StepSpan(first, ORIGIN, 100))
        newest = load_steps(connection, members, StepSpan(first, ORIGIN, 1))
    back = np.array([6, 5, 4, 3, 0])
    assert found[queued].steps_s.tolist() == (LAST.timestamp() - 60.0 * back).tolist()
    assert found[empty].size == found[unknown].size == 7
    assert later[queued].steps_s.tolist() == newest[queued].steps_s.tolist() == [LAST.timestamp()]


def test_who_counts_nothing_that_waits_costs_no_query(database: Engine) -> None:
    series = [one for one in OBJECTIVE["series"] if one["name"] != WAITING]
    workload = add_workload(
        database, "plain", sla=SLA | {"objective": OBJECTIVE | {"series": series}}
    )
    add_measured_steps(database, workload, 9.0, np.full(6, 5.0))
    asked: list[str] = []
    event.listen(database, "before_cursor_execute", lambda *given: asked.append(given[2]))
    with database.connect() as connection:
        members = list(members_of(connection).values())
        asked.clear()
        first = {workload: ORIGIN - timedelta(days=1)}
        assert load_steps(connection, members, StepSpan(first, ORIGIN, 100))[workload].size == 6
    assert len(asked) == 1


def test_a_load_that_never_answered_leaves_no_step(database: Engine) -> None:
    silent = add_workload(database, "silent", sla=SLA, **bound_by_tokens())
    add_measured_steps(database, silent, 9.0, np.linspace(5.0, 9.0, 6))
    with database.connect() as connection:
        members = list(members_of(connection).values())
        first = {silent: ORIGIN - timedelta(days=1)}
        assert load_steps(connection, members, StepSpan(first, ORIGIN, 100)) == {}


def test_each_load_is_per_ready_replica_of_its_own_pool(database: Engine) -> None:
    """Of six steps the last tells two pools apart, with two replicas and five of four in all."""
    split = add_service(database, sla=SLA)
    add_measured_steps(database, split, 9.0, np.linspace(5.0, 9.0, 6))
    add_demand(database, split, [400.0] * 6, last=LAST, indicator=TOKENS, step=STEP)
    with database.begin() as connection:
        connection.execute(
            text("UPDATE outcomes SET ready_by_pool = CAST(:ready AS jsonb) WHERE step_at = :at"),
            {"ready": '{"prefill": 2.0, "decode": 5.0}', "at": LAST},
        )
    first = {split: ORIGIN - timedelta(days=1)}
    with database.connect() as connection:
        members = list(members_of(connection).values())
        found = load_steps(connection, members, StepSpan(first, ORIGIN, 100))
    assert found[split].steps_s.tolist() == [LAST.timestamp()]
    np.testing.assert_allclose(found[split].load, [[READY * 5.0 / 2.0, 400.0 / 5.0]])
