"""A unit of work sends its jobs after the commit, and gives fresh ids."""

from collections.abc import Callable

import pytest
from sqlalchemy import Engine

from services.kernel.db.session import UnitOfWork, next_ids, unit_of_work
from services.kernel.jobs import Job, RecordingSender

pytestmark = pytest.mark.integration


def write_then_fail(
    database: Engine,
    write: Callable[[UnitOfWork], object],
    sender: RecordingSender | None = None,
) -> None:
    with unit_of_work(database, sender) as work:
        write(work)
        raise RuntimeError("stop")


def test_jobs_leave_after_commit_only(database: Engine) -> None:
    sender = RecordingSender()
    with unit_of_work(database, sender) as work:
        work.send_after_commit(Job("forecast.forecast_shard", {"shard": 0}))
        assert sender.sent == []
    assert [job.queue for job in sender.sent] == ["forecast"]
    job = Job("forecast.forecast_shard", {"shard": 1})
    with pytest.raises(RuntimeError, match="stop"):
        write_then_fail(database, lambda work: work.send_after_commit(job), sender)
    assert len(sender.sent) == 1


def test_ids_are_fresh(database: Engine) -> None:
    with unit_of_work(database) as work:
        first = next_ids(work.connection, "forecasts_id_seq", 3)
        second = next_ids(work.connection, "forecasts_id_seq", 2)
    assert len(set(first + second)) == 5
