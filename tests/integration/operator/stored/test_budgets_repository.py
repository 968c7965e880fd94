"""The rows of `gpu_budgets`: stored when they change, confirmed now and then, dropped, read."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from services.kernel.db.session import unit_of_work
from services.operator.stored import budgets_repository as repository
from services.operator.stored.budgets_repository import BudgetRow
from tests.unit.operator.examples import NOW

pytestmark = pytest.mark.integration

LONG_AGO = NOW - timedelta(days=1)


def store(engine: Engine, *rows: BudgetRow, at: datetime, confirm_before: datetime) -> None:
    with unit_of_work(engine) as work:
        repository.store_budgets(work.connection, rows, confirm_before, at)


def test_what_was_read_too_long_ago_is_unknown(database: Engine) -> None:
    rows = (BudgetRow("H100", 8, "GPUBudget/a"), BudgetRow("L4", None, "GPUBudget/b", "unreadable"))
    store(database, *rows, at=NOW, confirm_before=NOW)
    with unit_of_work(database) as work:
        assert repository.load_gpu_budgets(work.connection, NOW) == {"H100": 8, "L4": None}
        later = NOW + timedelta(seconds=1)
        assert repository.load_gpu_budgets(work.connection, later) == {"H100": None, "L4": None}


def test_a_change_is_stored_at_once_and_the_same_is_confirmed_seldom(database: Engine) -> None:
    store(database, BudgetRow("H100", 8, "a"), at=NOW, confirm_before=NOW)
    later = NOW + timedelta(seconds=10)
    store(database, BudgetRow("H100", 8, "a"), at=later, confirm_before=LONG_AGO)
    assert _seen_at(database) == NOW
    store(database, BudgetRow("H100", 9, "a"), at=later, confirm_before=LONG_AGO)
    assert _seen_at(database) == later
    store(
        database, BudgetRow("H100", 9, "a"), at=later + timedelta(seconds=9), confirm_before=later
    )
    assert _seen_at(database) == later + timedelta(seconds=9)


def _seen_at(engine: Engine) -> datetime:
    with engine.connect() as connection:
        found = connection.execute(text("SELECT observed_at FROM gpu_budgets")).scalar_one()
    assert isinstance(found, datetime)
    return found


def test_types_that_are_named_no_longer_hold_for_a_while(database: Engine) -> None:
    rows = (BudgetRow("H100", 8, "a"), BudgetRow("L4", 4, "b"), BudgetRow("A10", None, "c", "why"))
    store(database, *rows, at=NOW, confirm_before=NOW)
    with unit_of_work(database) as work:
        repository.drop_budgets(work.connection, ["L4"], NOW)
        assert repository.load_gpu_budgets(work.connection, NOW) == {"H100": 8, "L4": 4}
        repository.drop_budgets(work.connection, ["L4"], NOW + timedelta(seconds=1))
        assert repository.load_gpu_budgets(work.connection, NOW) == {"L4": 4}


def test_without_a_total_there_is_no_part(database: Engine) -> None:
    with unit_of_work(database) as work:
        assert repository.load_cell_parts(work.connection) == {}


def test_a_budget_of_more_than_a_column_holds_is_the_most_that_it_does(database: Engine) -> None:
    store(database, BudgetRow("H100", 10**12, "a"), at=NOW, confirm_before=NOW)
    with unit_of_work(database) as work:
        assert repository.load_gpu_budgets(work.connection, NOW) == {"H100": 2**31 - 1}
