"""A broker that is away costs no sample."""

from __future__ import annotations

import pytest
from kombu.exceptions import OperationalError

from services.ingest.deps import BestEffortSender
from services.kernel import jobs, telemetry
from services.kernel.jobs import Job

pytestmark = pytest.mark.integration


def test_a_broker_that_is_away_costs_no_sample() -> None:
    class Away:
        def send(self, job: Job) -> None:
            raise OperationalError("connection refused")

    labels = {"job": jobs.INGEST_RESAMPLE, "error": "not_sent"}
    name = "harmony_job_failures_total"
    before = telemetry.REGISTRY.get_sample_value(name, labels) or 0
    BestEffortSender(Away()).send(Job(jobs.INGEST_RESAMPLE))
    assert telemetry.REGISTRY.get_sample_value(name, labels) == before + 1
