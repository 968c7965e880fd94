"""Training over the API."""

from __future__ import annotations

import pytest

from services.admin.deps import AdminDeps
from services.kernel import jobs
from tests.integration.admin.app_client import AppClient

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]


def test_training_is_an_operation_and_one_at_a_time(admin: AppClient, deps: AdminDeps) -> None:
    first = admin.post("/v1/models/train", json={}, headers={"Idempotency-Key": "t"})
    assert (first.status_code, first.json()["status"]) == (202, "queued")
    assert admin.get(first.headers["Location"]).json()["kind"] == "train_model"
    (job,) = deps.sender.sent  # type: ignore[attr-defined]  # a RecordingSender
    assert (job.name, job.payload) == (jobs.TRAIN_MODEL, {"operation_id": first.json()["id"]})
    again = admin.post("/v1/models/train", json={}, headers={"Idempotency-Key": "t"})
    assert again.json()["id"] == first.json()["id"]
    assert len(deps.sender.sent) == 1  # type: ignore[attr-defined]  # a RecordingSender
    second = admin.post("/v1/models/train", json={})
    assert (second.status_code, second.json()["code"]) == (409, "conflict")
