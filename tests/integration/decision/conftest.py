"""What the tests of decisions start from: the service's dependencies on a real Postgres."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from services.decision.service import Deps
from services.kernel.clock import FixedClock
from services.kernel.jobs import RecordingSender
from services.kernel.settings import Settings
from tests.integration.decision.rows import NOW, STEP_S


@pytest.fixture
def deps(database: Engine, settings: Settings) -> Deps:
    settings = settings.model_copy(update={"step_s": STEP_S})
    return Deps(database, FixedClock(NOW), settings, sender=RecordingSender())
