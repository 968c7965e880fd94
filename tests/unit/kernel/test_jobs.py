"""Jobs carry ids and times only, and go to the queue that their name begins with."""

from __future__ import annotations

from datetime import datetime

from services.kernel import jobs


def test_a_job_of_a_shard_carries_its_number_and_a_time_in_utc() -> None:
    at = datetime.fromisoformat("2026-01-05T14:00:00+02:00")
    job = jobs.shard_job(jobs.FORECAST_SHARD, 3, at)
    assert job.payload == {"shard": 3, "at": "2026-01-05T12:00:00+00:00"}
    assert job.queue == "forecast"
    sender = jobs.RecordingSender()
    sender.send(job)
    assert sender.sent == [job]


def test_every_name_belongs_to_a_queue() -> None:
    names = [value for name, value in vars(jobs).items() if name.isupper() and type(value) is str]
    assert len(names) == 20
    assert {jobs.Job(name).queue for name in names} == set(jobs.QUEUES)
    assert set(jobs.OPERATION_JOBS.values()) < set(names)
