"""Turns of shards: a late run does the newest origin, and what it passed over is recorded."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, Engine, text

from services.kernel.db.turns import (
    FORECAST,
    IS_URGENT,
    LONGEST_WAIT_STEPS,
    Asked,
    note_asked,
    note_done,
    take_turn,
)
from services.kernel.telemetry import REGISTRY

pytestmark = pytest.mark.integration

AT = datetime(2026, 1, 5, tzinfo=UTC)
STEP = timedelta(seconds=60)
NOW = AT + timedelta(hours=1)


def asked(n: int, shard: int = 0) -> Asked:
    return Asked(FORECAST, shard, AT + n * STEP, STEP)


def superseded(connection: Connection) -> list[tuple[int, bool]]:
    rows = connection.execute(
        text("SELECT origin_at, is_urgent, newer_origin_at, reason FROM superseded_origins")
    )
    found = [((r.origin_at - AT) // STEP, r.is_urgent) for r in rows if r.reason]
    return sorted(found)


def test_a_shard_that_nobody_asked_for_is_done_as_asked(database: Engine) -> None:
    with database.begin() as connection:
        turn = take_turn(connection, asked(3), NOW)
    assert (turn.origin_at, turn.is_late, turn.is_urgent_only) == (AT + 3 * STEP, False, False)


def test_what_is_of_steps_of_another_length_makes_no_run_late(database: Engine) -> None:
    """Asked for before the length was changed, or for others of the shard."""
    with database.begin() as connection:
        note_asked(connection, FORECAST, 0, AT + 1.5 * STEP)
        turn = take_turn(connection, asked(1), NOW)
        note_asked(connection, FORECAST, 0, AT + 2 * STEP)
        of_some = take_turn(connection, replace(asked(1), is_of_some=True), NOW)
        late = take_turn(connection, asked(1), NOW)
    assert [one.origin_at for one in (turn, of_some, late)] == [AT + STEP] * 2 + [AT + 2 * STEP]
    assert [one.is_late for one in (turn, of_some, late)] == [False, False, True]


def test_a_late_run_does_the_newest_origin_of_its_shard_for_the_urgent_only(
    database: Engine,
) -> None:
    with database.begin() as connection:
        for n in (1, 3, 2):
            note_asked(connection, FORECAST, 0, AT + n * STEP)
        note_asked(connection, FORECAST, 1, AT + 1 * STEP)
        late, other = (
            take_turn(connection, asked(1), NOW),
            take_turn(connection, asked(1, shard=1), NOW),
        )
        of_long_ago = take_turn(connection, asked(-20), NOW)
    assert (late.origin_at, late.is_late, late.is_urgent_only) == (AT + 3 * STEP, True, True)
    assert (other.origin_at, other.is_late, other.is_urgent_only) == (AT + STEP, False, False)
    assert (of_long_ago.origin_at, of_long_ago.is_late) == (AT - 20 * STEP, False)


def test_what_a_clock_that_was_ahead_asked_for_holds_up_none(database: Engine) -> None:
    now = AT + 4 * STEP
    with database.begin() as connection:
        note_done(connection, asked(1), is_waiting=False, now=now)
        note_asked(connection, FORECAST, 0, AT + 9 * STEP)
        note_done(connection, asked(9), is_waiting=False, now=now + 6 * STEP)
        turn = take_turn(connection, asked(3), now)
        note_done(connection, asked(3), is_waiting=False, now=now)
        note_done(connection, asked(6), is_waiting=False, now=now + 3 * STEP)
        found = {n for n, _ in superseded(connection)}
    assert (turn.origin_at, turn.is_late, turn.is_urgent_only) == (AT + 3 * STEP, False, False)
    assert found >= {4, 5}


def test_a_shard_whose_rest_has_waited_too_long_is_done_in_full(database: Engine) -> None:
    overdue = LONGEST_WAIT_STEPS + 2
    with database.begin() as connection:
        note_done(connection, asked(1), is_waiting=False, now=NOW)
        for n in range(2, overdue + 1):
            for shard in (0, 1):
                note_asked(connection, FORECAST, shard, AT + n * STEP)
            note_done(connection, asked(n, shard=1), is_waiting=True, now=NOW)
            assert take_turn(connection, asked(n), NOW).is_urgent_only == (n < overdue), n
        late = take_turn(connection, asked(overdue - 1), NOW)
        assert (late.is_late, late.is_urgent_only) == (True, False)
        note_done(connection, asked(overdue), is_waiting=False, now=NOW)
        assert take_turn(connection, asked(overdue + 1), NOW).is_urgent_only


def test_while_the_rest_of_a_shard_waits_no_other_is_done_whole(database: Engine) -> None:
    with database.begin() as connection:
        note_done(connection, asked(1), is_waiting=True, now=NOW)
        assert take_turn(connection, asked(2, shard=1), NOW).is_urgent_only
        assert not take_turn(
            connection, Asked("decide", 1, AT + 2 * STEP, STEP), NOW
        ).is_urgent_only
        # nobody asks for that shard any longer
        assert not take_turn(connection, asked(5, shard=1), NOW).is_urgent_only
        note_done(connection, asked(2), is_waiting=False, now=NOW)
        assert not take_turn(connection, asked(2, shard=1), NOW).is_urgent_only


def test_what_was_passed_over_is_recorded_once_for_those_it_was_passed_over_for(
    database: Engine,
) -> None:
    labels = {"stage": FORECAST, "workloads": "gold"}
    name = "harmony_origins_superseded_total"
    before = REGISTRY.get_sample_value(name, labels) or 0.0
    with database.begin() as connection:
        note_done(connection, asked(0), is_waiting=False, now=NOW)
        note_done(connection, asked(1), is_waiting=False, now=NOW)
        assert superseded(connection) == []
        note_done(connection, asked(3), is_waiting=True, now=NOW)
        assert superseded(connection) == [(2, True)]
        for _ in range(2):
            note_done(connection, asked(4), is_waiting=False, now=NOW)
        assert superseded(connection) == [(2, False), (2, True), (3, False)]
    assert REGISTRY.get_sample_value(name, labels) == before + 1


def test_what_a_long_outage_passed_over_is_recorded_too(database: Engine) -> None:
    with database.begin() as connection:
        note_done(connection, asked(0), is_waiting=False, now=NOW)
        note_done(connection, asked(40), is_waiting=False, now=NOW)
        assert superseded(connection) == [(n, of) for n in range(1, 40) for of in (False, True)]


def test_of_an_outage_of_days_only_the_end_is_recorded(database: Engine) -> None:
    with database.begin() as connection:
        note_done(connection, asked(0), is_waiting=False, now=NOW)
        note_done(connection, asked(5000), is_waiting=False, now=NOW)
        found = superseded(connection)
    assert found == [(n, of) for n in range(4880, 5000) for of in (False, True)]


@pytest.mark.parametrize(
    ("sla", "is_urgent"),
    [
        ('{"sla_class": "Gold"}', True),
        ('{"sla_class": "gold", "priority": 50}', False),
        ('{"sla_class": "mine", "priority": 200}', True),
        ('{"sla_class": "silver", "priority": null}', False),
        ("{}", False),
    ],
)
def test_urgent_is_who_has_the_priority_of_gold(
    database: Engine, sla: str, is_urgent: bool
) -> None:
    statement = text(f"SELECT {IS_URGENT} FROM (SELECT CAST(:spec AS jsonb) AS spec) w")
    with database.connect() as connection:
        found = connection.execute(statement, {"spec": f'{{"sla": {sla}}}'}).scalar_one()
    assert found is is_urgent


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ('{"sla": {"priority": 200}}', True),
        ('{"sla": {"priority": 2e2}}', True),
        ('{"sla": {"priority": "highest", "sla_class": "Gold"}}', True),
        ('{"sla": {"priority": 199.5, "sla_class": "gold"}}', False),
        ('{"sla": {"priority": [1]}}', False),
        ("null", False),
    ],
)
def test_any_stored_spec_is_urgent_or_not(database: Engine, spec: str, expected: bool) -> None:
    query = f"SELECT {IS_URGENT} FROM (SELECT CAST(:spec AS jsonb) AS spec) w"
    with database.connect() as connection:
        assert connection.execute(text(query), {"spec": spec}).scalar_one() is expected
