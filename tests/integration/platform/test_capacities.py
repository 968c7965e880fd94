"""What `harmony capacity` shows and does, below the command line."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from services.decision.beliefs import repository
from services.kernel.errors import Conflict, NotFound
from services.kernel.settings import Settings
from services.platform.capacities import fit_capacities_now, learned_capacities
from tests.integration.decision.stored_rows import add_workload

pytestmark = pytest.mark.integration


@pytest.fixture
def connected(settings: Settings, database: Engine, database_url: str) -> Settings:
    add_workload(database, "w")
    return settings.model_copy(update={"database_url": database_url})


def test_a_workload_that_learned_nothing_has_a_row(connected: Settings) -> None:
    (row,) = learned_capacities(connected, "demo", "")
    assert (row["workload"], row["stated"], row["p50"]) == ("demo/w", 10.0, None)
    assert row["note"]
    with pytest.raises(NotFound, match="namespace=other"):
        learned_capacities(connected, "other", "")


def test_a_workload_that_cannot_be_read_has_a_row_that_says_so(
    connected: Settings, database: Engine
) -> None:
    add_workload(database, "a")
    with database.begin() as connection:
        connection.execute(text("UPDATE workloads SET spec = spec - 'target' WHERE name = 'a'"))
    read, unread = learned_capacities(connected, "", "")
    assert (read["workload"], read["stated"]) == ("demo/w", 10.0)
    assert read.keys() == unread.keys()
    assert (unread["workload"], unread["stated"], unread["p50"]) == ("demo/a", None, None)
    assert unread["note"] == "its stored spec cannot be read: Field required"
    (named,) = learned_capacities(connected, "demo", "a")
    assert named == unread


def test_two_do_not_fit_at_once(connected: Settings, database: Engine) -> None:
    with repository.fit_lock(database) as is_mine:
        assert is_mine
        with pytest.raises(Conflict):
            fit_capacities_now(connected)
