"""Change freezes in a real database."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from services.admin.freezes.repository import (
    count_standing,
    insert_freeze,
    lift_freeze,
    load_freeze,
    load_freezes,
)
from tests.integration.admin.seeded_fleet import NOW
from tests.integration.admin.showback.costs import add as add_workload

pytestmark = pytest.mark.integration
HOUR = timedelta(hours=1)
FREEZE: dict[str, Any] = {
    "namespace": "prod",
    "name": "llama",
    "direction": "ScaleDown",
    "from_at": NOW,
    "until_at": NOW + HOUR,
    "reason": "audit week",
    "created_by": "ops (0123456789)",
    "created_at": NOW - HOUR,
}


def add(database: Engine, **changes: Any) -> int:
    """Store a freeze."""
    with database.begin() as connection:
        return int(insert_freeze(connection, FREEZE | changes)["id"])


def listed(database: Engine, limit: int = 100, **filters: Any) -> list[int]:
    with database.connect() as connection:
        return [row["id"] for row in load_freezes(connection, filters, limit)]


def test_a_freeze_is_stored_as_it_was_made(database: Engine) -> None:
    with database.begin() as connection:
        made = insert_freeze(connection, FREEZE)
        assert dict(made) == FREEZE | {"id": made["id"], "lifted_at": None, "cluster": "default"}
        assert load_freeze(connection, made["id"]) == made
        assert load_freeze(connection, made["id"] + 1) is None


def test_a_freeze_that_is_read_waits_for_the_transaction(database: Engine) -> None:
    freeze_id = add(database)
    with database.begin() as first, database.begin() as second:
        load_freeze(first, freeze_id)
        second.execute(text("SET LOCAL lock_timeout = '50ms'"))
        with pytest.raises(OperationalError, match="lock timeout"):
            lift_freeze(second, freeze_id, NOW)
        second.rollback()


def test_a_freeze_is_lifted_once_and_no_other_is(database: Engine) -> None:
    freeze_id, other = add(database), add(database)
    with database.begin() as connection:
        lift_freeze(connection, freeze_id, NOW)
        lift_freeze(connection, freeze_id, NOW + HOUR)
        lifted, kept = (load_freeze(connection, one) for one in (freeze_id, other))
    assert lifted is not None
    assert kept is not None
    assert (lifted["lifted_at"], kept["lifted_at"]) == (NOW, None)


def test_freezes_are_listed_newest_first_in_pages(database: Engine) -> None:
    ids = [add(database) for _ in range(3)]
    assert listed(database) == ids[::-1]
    assert listed(database, limit=2) == [ids[2], ids[1]]
    assert listed(database, after=(ids[1],)) == [ids[0]]


def test_only_those_in_force_or_to_come_are_listed_when_asked(database: Engine) -> None:
    in_force = add(database)
    to_come = add(database, from_at=NOW + HOUR, until_at=NOW + 2 * HOUR)
    over = add(database, from_at=NOW - HOUR, until_at=NOW)
    lifted = add(database)
    with database.begin() as connection:
        lift_freeze(connection, lifted, NOW)
    assert listed(database, now=NOW) == [to_come, in_force]
    assert listed(database) == [lifted, over, to_come, in_force]


def test_a_freeze_of_the_fleet_is_of_every_namespace(database: Engine) -> None:
    own = add(database)
    fleet = add(database, namespace=None, name=None)
    other = add(database, namespace="speech")
    assert listed(database, namespace="prod") == [fleet, own]
    assert listed(database, namespaces=frozenset({"speech"})) == [other, fleet]
    assert listed(database, namespaces=frozenset[str]()) == [fleet]
    assert listed(database, namespace="prod", namespaces=frozenset({"speech"})) == [fleet]


def test_freezes_are_found_by_the_time_that_they_hold(database: Engine) -> None:
    early = add(database, from_at=NOW - 2 * HOUR, until_at=NOW - HOUR)
    late = add(database)
    assert listed(database, from_at=NOW - HOUR) == [late, early]
    assert listed(database, from_at=NOW) == [late]
    assert listed(database, to_at=NOW) == [late, early]
    assert listed(database, to_at=NOW - timedelta(seconds=1)) == [early]
    assert listed(database, from_at=NOW + 2 * HOUR, to_at=NOW + 3 * HOUR) == []


def test_labels_narrow_freezes_to_those_that_hold_such_a_workload(database: Engine) -> None:
    for name, team in (("llama", "chat"), ("embed", "search")):
        add_workload(database, f"prod/{name}", {"team": team})
    of_one, of_other = add(database), add(database, name="embed")
    of_all, of_fleet = add(database, name=None), add(database, namespace=None, name=None)
    elsewhere = add(database, namespace="lab", name=None)
    assert listed(database, label={"team": "chat"}) == [of_fleet, of_all, of_one]
    assert listed(database, label={"team": "none"}) == [of_fleet]
    assert listed(database) == [elsewhere, of_fleet, of_all, of_other, of_one]


def test_a_freeze_that_was_ended_early_held_until_then(database: Engine) -> None:
    found = add(database, until_at=NOW + 8 * HOUR)
    assert listed(database, from_at=NOW + 2 * HOUR) == [found]
    with database.begin() as connection:
        lift_freeze(connection, found, NOW + HOUR)
    assert listed(database, from_at=NOW + 2 * HOUR) == []
    assert listed(database, from_at=NOW + HOUR / 2) == [found]


def test_standing_are_those_of_the_namespace_that_are_neither_over_nor_lifted(
    database: Engine,
) -> None:
    for changes in (
        {},
        {"name": None, "from_at": NOW + HOUR, "until_at": NOW + 2 * HOUR},
        {"until_at": NOW},
        {"namespace": "other"},
        {"namespace": None, "name": None},
    ):
        add(database, **changes)
    lifted = add(database)
    with database.begin() as connection:
        lift_freeze(connection, lifted, NOW)
        found = [count_standing(connection, name, NOW) for name in ("prod", "other", None, "none")]
    assert found == [2, 1, 1, 0]
