"""Whose turn it is when there is more to do than can be done.

A stage is asked for each shard at each origin. A run that comes late does the newest origin instead
of its own, so what waits can never be more than one origin of each shard. While any shard is
behind, or its own last origin was passed over, a run does the urgent workloads only (gold: priority
200 and more) and leaves the rest to a job that comes when nothing else waits. Where the urgent ones
alone take all there is, that would be never: a shard whose others have waited for some steps is
done in full once. What was passed over is recorded with its reason.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from services.kernel import telemetry

URGENT_PRIORITY = 200
"""Least priority of an SLA class whose workloads come first: that of gold."""
IS_URGENT = (
    # of a row that somebody changed by hand any may be anything
    "COALESCE(CASE jsonb_typeof(w.spec #> '{sla,priority}') WHEN 'number' "
    "THEN (w.spec #>> '{sla,priority}')::float8 END, CASE lower(w.spec #>> '{sla,sla_class}') "
    f"WHEN 'gold' THEN {URGENT_PRIORITY} ELSE 0 END) >= {URGENT_PRIORITY}"
)
"""Condition on the row `w` of `workloads`."""
FORECAST, DECIDE = "forecast", "decide"
_KEPT_STEPS = 12
_RECORDED_STEPS = 120
"""Of what a longer outage passed over only the last ones are recorded."""
LONGEST_WAIT_STEPS = 6
"""After so many steps without the others a run does the whole shard."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A stage of a shard at an origin.

    Attributes:
        stage: `forecast` or `decide`.
        step: Length of the steps of those that it is for.
        is_of_some: The shard has others, on steps of another length. Which origin is newest is not
            known of one length then, and each is done as asked: a newer one has its own job.
    """

    stage: str
    shard: int
    origin_at: datetime
    step: timedelta
    is_of_some: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """What a run is to do.

    Attributes:
        origin_at: The origin; a newer one than asked where that has been passed.
        is_late: It is a newer one.
        is_urgent_only: Others wait: the rest comes in a job of its own.
    """

    origin_at: datetime
    is_late: bool
    is_urgent_only: bool


def note_asked(connection: Connection, stage: str, shard: int, origin_at: datetime) -> None:
    """Note the newest origin that a stage was asked for; what a run does follows from it."""
    statement = text(
        "INSERT INTO shard_turns AS t (stage, shard, asked_at) VALUES (:stage, :shard, :at) "
        "ON CONFLICT (stage, shard) DO UPDATE SET asked_at = GREATEST(t.asked_at, :at)"
    )
    connection.execute(statement, {"stage": stage, "shard": shard, "at": origin_at})


def take_turn(connection: Connection, asked: Asked, now: datetime) -> Turn:
    """Find what a run is to do, by what was asked for since and by who is behind.

    What was asked for a time to come, by a clock that was ahead, counts when that time is there.
    """
    given = {"stage": asked.stage, "shard": asked.shard, "at": asked.origin_at, "step": asked.step}
    own = connection.execute(
        text(
            "SELECT t.asked_at, t.urgent_at, COALESCE(t.rest_at, '-infinity') "
            "< GREATEST(t.asked_at, :at) - :longest * CAST(:step AS interval) AS is_overdue, "
            "EXISTS (SELECT FROM shard_turns o WHERE o.stage = :stage AND o.is_waiting "
            "AND o.shard <> :shard AND o.asked_at >= "
            "CAST(:at AS timestamptz) - 2 * CAST(:step AS interval)) AS is_behind "
            "FROM (VALUES (1)) AS one LEFT JOIN shard_turns t "
            "ON t.stage = :stage AND t.shard = :shard"
        ),
        given | {"longest": LONGEST_WAIT_STEPS},
    ).one()
    newest = None
    if own.asked_at is not None and own.asked_at <= now and not asked.is_of_some:
        # what was asked for before steps got another length may be no origin any more
        is_origin = not (own.asked_at - asked.origin_at) % asked.step
        newest = own.asked_at if is_origin else None
    # an origin of long ago is asked for by hand, and done as asked
    is_late = newest is not None and timedelta() < newest - asked.origin_at <= (
        _KEPT_STEPS * asked.step
    )
    origin_at = newest if newest is not None and is_late else asked.origin_at
    # the others of a shard whose urgent ones were never done have not waited for them yet
    last = own.urgent_at
    is_overdue = last is not None and own.is_overdue
    # nobody asked for the origins between: what is asked for falls behind too
    has_passed = last is not None and asked.step < origin_at - last <= _KEPT_STEPS * asked.step
    return Turn(origin_at, is_late, (is_late or has_passed or own.is_behind) and not is_overdue)


def is_shed(connection: Connection, asked: Asked) -> bool:
    """Whether the others of any shard wait for a stage at these origins."""
    statement = text(
        "SELECT EXISTS (SELECT FROM shard_turns WHERE stage = :stage AND is_waiting "
        "AND asked_at >= CAST(:at AS timestamptz) - 2 * CAST(:step AS interval))"
    )
    given = {"stage": asked.stage, "at": asked.origin_at, "step": asked.step}
    return bool(connection.execute(statement, given).scalar_one())


def note_rest_done(
    connection: Connection, asked: Asked, rest_at: datetime | None, now: datetime
) -> None:
    """Note that nobody of a shard waits, where the others are done at an origin of their own.

    Args:
        connection: The transaction of the work itself.
        asked: What was done.
        rest_at: Their origin; None: nothing of them is forecast.
        now: Aware.
    """
    if rest_at is not None:
        at_theirs = replace(asked, origin_at=rest_at)
        _record_passed(connection, at_theirs, of_urgent=False, of_rest=True, now=now)
    statement = text(
        "UPDATE shard_turns t SET is_waiting = false, rest_at = GREATEST("
        "CASE WHEN t.rest_at <= :now THEN t.rest_at END, CAST(:rest_at AS timestamptz)) "
        "WHERE stage = :stage AND shard = :shard"
    )
    given = {"stage": asked.stage, "shard": asked.shard, "rest_at": rest_at, "now": now}
    connection.execute(statement, given)


def note_done(connection: Connection, asked: Asked, *, is_waiting: bool, now: datetime) -> None:
    """Note that a shard's workloads are done, and what was passed over since they were last.

    Args:
        connection: The transaction of the work itself.
        asked: What was done.
        is_waiting: Of the urgent ones only: the rest waits for its turn.
        now: Aware.
    """
    _record_passed(connection, asked, of_urgent=True, of_rest=not is_waiting, now=now)
    statement = text(
        "INSERT INTO shard_turns AS t (stage, shard, asked_at, urgent_at, rest_at, is_waiting) "
        "VALUES (:stage, :shard, :at, :at, CASE WHEN NOT :waits THEN CAST(:at AS timestamptz) END, "
        ":waits) ON CONFLICT (stage, shard) DO UPDATE SET "
        # a clock that was ahead has done origins to come: those passed from here on are recorded
        "urgent_at = GREATEST(CASE WHEN t.urgent_at <= :now THEN t.urgent_at END, "
        "  EXCLUDED.urgent_at), "
        "rest_at = GREATEST(CASE WHEN t.rest_at <= :now THEN t.rest_at END, EXCLUDED.rest_at), "
        "is_waiting = EXCLUDED.is_waiting"
    )
    given = {"stage": asked.stage, "shard": asked.shard, "at": asked.origin_at, "now": now}
    connection.execute(statement, given | {"waits": is_waiting})


def load_waiting(connection: Connection, stage: str) -> dict[int, datetime]:
    """Shards whose urgent workloads alone are done, and at which origin: the others wait."""
    statement = text(
        "SELECT shard, urgent_at FROM shard_turns WHERE stage = :stage AND is_waiting "
        "AND urgent_at IS NOT NULL"
    )
    rows = connection.execute(statement, {"stage": stage})
    return {int(row.shard): row.urgent_at for row in rows}


def _record_passed(
    connection: Connection, asked: Asked, *, of_urgent: bool, of_rest: bool, now: datetime
) -> None:
    """Record the origins between the last one that was done and this one, of whom was done now."""
    statement = text(
        "INSERT INTO superseded_origins (stage, shard, origin_at, is_urgent, newer_origin_at, "
        "reason, superseded_at) SELECT :stage, :shard, o.at, w.is_urgent, :at, "
        "'a newer origin was complete before its turn came', :now "
        "FROM shard_turns t CROSS JOIN LATERAL ("
        "VALUES (TRUE, CASE WHEN :of_urgent THEN t.urgent_at END), "
        "  (FALSE, CASE WHEN :of_rest THEN t.rest_at END)) AS w(is_urgent, last_at) "
        "CROSS JOIN LATERAL generate_series(GREATEST(w.last_at + :step, "
        "  CAST(:at AS timestamptz) - :recorded * CAST(:step AS interval)), "
        "  CAST(:at AS timestamptz) - CAST(:step AS interval), CAST(:step AS interval)) AS o(at) "
        "WHERE t.stage = :stage AND t.shard = :shard AND w.last_at IS NOT NULL "
        "ON CONFLICT DO NOTHING RETURNING is_urgent"
    )
    given = {"stage": asked.stage, "shard": asked.shard, "at": asked.origin_at}
    given |= {"step": asked.step, "recorded": _RECORDED_STEPS, "now": now}
    given |= {"of_urgent": of_urgent, "of_rest": of_rest}
    for is_urgent in connection.scalars(statement, given):
        who = "gold" if is_urgent else "rest"
        telemetry.origins_superseded_total.labels(asked.stage, who).inc()
