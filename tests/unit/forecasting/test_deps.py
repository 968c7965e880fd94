"""The forecasting service as settings wire it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import torch

from services.forecasting import deps
from services.kernel.celery_app import CelerySender
from services.kernel.clock import FixedClock, SystemClock
from services.kernel.jobs import RecordingSender
from services.kernel.settings import Settings

SETTINGS = Settings(database_url="postgresql://nobody@localhost:1/none", torch_threads=1)


@pytest.fixture(autouse=True)
def threads_as_they_were() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
    deps.get_forecasting.cache_clear()


def test_what_is_given_is_used() -> None:
    clock, sender = FixedClock(datetime(2026, 1, 5, tzinfo=UTC)), RecordingSender()
    app = deps.make_forecasting(SETTINGS, sender, clock)
    assert (app.settings, app.clock, app.sender) == (SETTINGS, clock, sender)
    assert (app.engine.url.host, app.engine.url.database) == ("localhost", "none")
    assert torch.get_num_threads() == SETTINGS.torch_threads


def test_without_a_clock_the_settings_name_one() -> None:
    assert isinstance(deps.make_forecasting(SETTINGS, RecordingSender()).clock, SystemClock)


def test_a_process_has_one_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deps, "get_settings", lambda: SETTINGS)
    deps.get_forecasting.cache_clear()
    app = deps.get_forecasting()
    assert app is deps.get_forecasting()
    assert app.settings is SETTINGS
    assert isinstance(app.sender, CelerySender)
