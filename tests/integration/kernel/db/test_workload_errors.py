"""Who fails in a stage is remembered, tried alone next time, and forgotten when well."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from pydantic import BaseModel
from sqlalchemy import Engine, event, text

from services.kernel.db.session import unit_of_work
from services.kernel.db.workload_errors import error_message, in_bulkheads
from tests.integration.decision.stored_rows import add_workload

pytestmark = pytest.mark.integration
AT = datetime(2026, 1, 6, tzinfo=UTC)


class Spec(BaseModel):
    most: int


def _run(engine: Engine, ids: list[int], bad: set[int]) -> list[list[int]]:
    calls: list[list[int]] = []

    def do(some: Sequence[int]) -> None:
        calls.append(list(some))
        if bad & set(some):
            raise ValueError("cannot be handled")

    with unit_of_work(engine) as work:
        in_bulkheads(work, "decide", ids, do, AT)
    return calls


def test_who_failed_is_tried_alone_next_time(database: Engine) -> None:
    ids = [add_workload(database, f"w{at}") for at in range(4)]
    _run(database, ids, {ids[1]})
    assert _run(database, ids, {ids[1]}) == [[ids[0], ids[2], ids[3]], [ids[1]]]
    with database.connect() as connection:
        rows = connection.execute(text("SELECT workload_id, message FROM workload_errors")).all()
    assert [tuple(row) for row in rows] == [(ids[1], "ValueError: cannot be handled")]
    _run(database, ids, set())
    assert _run(database, ids, set()) == [ids]


def test_where_nobody_fails_failures_are_asked_for_once_and_nothing_is_deleted(
    database: Engine,
) -> None:
    ids = [add_workload(database, f"w{at}") for at in range(3)]
    said: list[str] = []

    def note(_connection, _cursor, statement, *_given) -> None:
        said.append(statement)

    event.listen(database, "before_cursor_execute", note)
    _run(database, ids, set())
    event.remove(database, "before_cursor_execute", note)
    assert [one.split()[0] for one in said if "workload_errors" in one] == ["SELECT"]


def test_a_message_is_one_line_that_names_the_field() -> None:
    with pytest.raises(ValueError, match="most") as found:
        Spec.model_validate({"most": "many"})
    message = error_message(found.value)
    assert "\n" not in message
    assert "most" in message
