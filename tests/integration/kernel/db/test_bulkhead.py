"""What fails alone is set apart; what is done for the others stays done."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from services.kernel.db.bulkhead import in_parts
from services.kernel.db.session import UnitOfWork, unit_of_work
from services.kernel.errors import Unavailable
from services.kernel.jobs import Job

pytestmark = pytest.mark.integration


def _insert(work: UnitOfWork, bad: frozenset[int]):  # type: ignore[no-untyped-def]
    def do(items: Sequence[int]) -> list[int]:
        for item in items:
            work.send_after_commit(Job("done", {"item": item}))
            value = 2**40 if item in bad else item
            work.connection.execute(text("INSERT INTO pg_temp.kept VALUES (:v)"), {"v": value})
        return list(items)

    return do


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(n=st.integers(0, 20), data=st.data())
def test_every_item_is_done_once_or_set_apart(
    database: Engine, n: int, data: st.DataObject
) -> None:
    items = list(range(n))
    bad = frozenset(data.draw(st.sets(st.sampled_from(items)) if items else st.just(set())))
    with unit_of_work(database) as work:
        work.connection.execute(text("CREATE TEMP TABLE kept (v integer) ON COMMIT DROP"))
        parts = in_parts(work, items, _insert(work, bad))
        kept = list(work.connection.scalars(text("SELECT v FROM pg_temp.kept ORDER BY v")))
        jobs = sorted(job.payload["item"] for job in work.jobs)
    good = [item for item in items if item not in bad]
    assert kept == good == jobs == sorted(i for part in parts.results for i in part)
    assert sorted(one.item for one in parts.apart) == sorted(bad)


def test_where_nothing_fails_it_is_done_in_one_go(database: Engine) -> None:
    calls = []
    with unit_of_work(database) as work:
        in_parts(work, [1, 2, 3], calls.append)
    assert calls == [[1, 2, 3]]


def test_a_fault_of_the_platform_is_not_taken_for_an_items(database: Engine) -> None:
    def gone(items: Sequence[int]) -> None:
        raise Unavailable("the database cannot be reached")

    with unit_of_work(database) as work, pytest.raises(Unavailable):
        in_parts(work, [1, 2], gone)


@pytest.mark.parametrize(
    "statement",
    [
        "SET transaction_read_only = on; CREATE TABLE none ()",
        "SELECT of_a_later_release FROM models",
    ],
)
def test_a_database_that_is_read_only_or_of_another_release_sets_nobody_apart(
    database: Engine, statement: str
) -> None:
    tried: list[Sequence[int]] = []

    def write(items: Sequence[int]) -> None:
        tried.append(items)
        work.connection.execute(text(statement))

    with pytest.raises(DBAPIError), unit_of_work(database) as work:
        in_parts(work, [1, 2, 3, 4], write)
    assert tried == [[1, 2, 3, 4]]
