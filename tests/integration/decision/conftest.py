"""What the tests of decisions start from: dependencies on a real Postgres, a fleet with budgets."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from services.decision.wiring import DecisionDeps
from services.kernel.clock import FixedClock
from services.kernel.jobs import RecordingSender
from services.kernel.settings import Settings
from tests.integration.decision.budget_fleet import Fleet
from tests.integration.decision.stored_rows import NOW, STEP_S


@pytest.fixture
def deps(database: Engine, settings: Settings) -> DecisionDeps:
    settings = settings.model_copy(update={"step_s": STEP_S})
    return DecisionDeps(database, FixedClock(NOW), settings, sender=RecordingSender())


@pytest.fixture
def fleet(database: Engine, settings: Settings) -> Fleet:
    return Fleet(database, settings)
