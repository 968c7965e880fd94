"""Dependencies of the decision service, and what they are when not given."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from datetime import UTC, datetime

import pytest
from sqlalchemy import create_engine

from decider import DecideConfig
from services.decision.wiring import DecisionDeps
from services.kernel.clock import FixedClock
from services.kernel.jobs import RecordingSender
from services.kernel.settings import Settings

ENGINE = create_engine("postgresql+psycopg://nobody@localhost:1/none")
CLOCK = FixedClock(datetime(2026, 1, 5, tzinfo=UTC))


def test_only_the_decider_and_the_sender_have_defaults() -> None:
    settings = Settings()
    deps = DecisionDeps(ENGINE, CLOCK, settings)
    assert (deps.engine, deps.clock, deps.settings) == (ENGINE, CLOCK, settings)
    assert (deps.config, deps.sender) == (DecideConfig(), None)


def test_what_is_given_is_kept_and_cannot_be_replaced() -> None:
    sender = RecordingSender()
    deps = DecisionDeps(ENGINE, CLOCK, Settings(), sender=sender)
    assert deps.sender is sender
    with pytest.raises(FrozenInstanceError):
        deps.sender = None  # type: ignore[misc]
