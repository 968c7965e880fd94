"""When drift asks for a fit, and by which windows inputs are compared."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.forecasting.online.repository import DriftCount
from services.forecasting.score.drift import refit_reason, window_steps
from services.kernel.settings import Settings

NOW = datetime(2026, 1, 5, tzinfo=UTC)
SETTINGS = Settings(drift_refit_share=0.25, refit_min_interval_s=3600)
JUST_NOW, LONG_AGO = NOW - timedelta(seconds=3599), NOW - timedelta(seconds=3600)


def count(n_drifted: int, n_new: int, n_watched: int = 100) -> DriftCount:
    return DriftCount(n_watched, n_drifted, n_new, "demo/w: it drifts")


@pytest.mark.parametrize(
    ("drift", "last_fit_at", "last_request_at", "is_asked"),
    [
        (count(0, 0), LONG_AGO, None, False),
        (count(1, 1), LONG_AGO, None, True),
        (count(1, 1), None, None, True),
        (count(1, 1), JUST_NOW, None, False),  # the last fit is too young for a few
        (count(26, 26), JUST_NOW, None, True),  # but not for a large share
        (count(25, 25), JUST_NOW, None, False),  # above the share, not at it
        (count(26, 0), LONG_AGO, None, True),
        (count(1, 0), LONG_AGO, None, False),  # inputs only, or a fit has seen it already
        (count(26, 26), LONG_AGO, JUST_NOW, False),  # asked for a moment ago
        (count(26, 26), LONG_AGO, LONG_AGO, True),
        (count(0, 0, n_watched=0), None, None, False),
    ],
)
def test_a_fit_is_asked_for_when_it_should_be(
    drift: DriftCount,
    last_fit_at: datetime | None,
    last_request_at: datetime | None,
    is_asked: bool,
) -> None:
    reason = refit_reason(drift, last_fit_at, last_request_at, NOW, SETTINGS)
    assert (reason is not None) == is_asked
    if reason is not None:
        assert f"{drift.n_drifted} of 100 workloads drift; worst is demo/w: it drifts" in reason


@pytest.mark.parametrize(("step_s", "window"), [(600, 144), (3600, 24), (60, 576), (300, 288)])
def test_inputs_are_compared_by_the_day_where_the_history_holds_a_few(
    step_s: int, window: int
) -> None:
    assert window_steps(Settings(fit_max_steps=4032), step_s) == window
