"""A refit is asked for at the first origin of its interval only."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.decision.beliefs.refit import RefitRequest, request_refit
from services.decision.wiring import DecisionDeps
from services.kernel.db.session import unit_of_work
from services.kernel.jobs import DECIDE_FIT, RecordingSender

pytestmark = pytest.mark.integration


def test_one_interval_asks_once(deps: DecisionDeps) -> None:
    settings = deps.settings.model_copy(update={"refit_min_interval_s": 600.0})
    for minute in range(30):
        with unit_of_work(deps.engine, deps.sender) as work:
            at = datetime(2026, 1, 6, 12, minute, tzinfo=UTC)
            request_refit(work, settings, RefitRequest("response_needs_refit", ["a/b"], 60), at)
    sender = deps.sender
    assert isinstance(sender, RecordingSender)
    assert [job.name for job in sender.sent] == [DECIDE_FIT] * 3
