"""Beat goes on where its clock is set back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from celery import Celery

from services.worker.beat import WaryScheduler

EVERY_S = 10.0


class _SentJobs(WaryScheduler):
    """Notes what it would send."""

    def apply_entry(self, entry: object, producer: object = None) -> None:
        self.sent.append(entry.name)  # type: ignore[attr-defined]


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    at = [datetime(2026, 1, 5, tzinfo=UTC)]
    monkeypatch.setattr(Celery, "now", lambda _: at[0])
    return at


def test_after_a_clock_that_was_ahead_each_job_is_sent_again(
    now: list[datetime], tmp_path: Path
) -> None:
    app = Celery("beat", broker="memory://")
    app.conf.beat_schedule = {
        name: {"task": name, "schedule": EVERY_S} for name in ("first", "second")
    }
    beat = _SentJobs(app, schedule_filename=str(tmp_path / "schedule"), lazy=False)
    beat.sent = []

    def run(seconds: int) -> list[str]:
        """Names of what is sent within some seconds."""
        beat.sent.clear()
        for _ in range(seconds):
            now[0] += timedelta(seconds=1)
            while beat.tick() == 0:
                continue
        return sorted(beat.sent)

    assert run(12) == ["first", "second"]
    now[0] += timedelta(hours=1)
    assert run(2) == ["first", "second"]
    now[0] -= timedelta(hours=1)
    assert run(12) == ["first", "second"]
    assert run(10) == ["first", "second"]
    beat.close()
