"""Jobs reach their use cases with the arguments that they carry, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from services.decision import tasks
from services.decision.beliefs import due
from services.decision.decide import operations, service

DEPS: Any = object()
AT = datetime(2026, 1, 6, 12, 0, tzinfo=UTC)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Calls of the use cases, by name."""
    found: list[tuple[Any, ...]] = []

    def watch(owner: Any, name: str, answer: Any = None) -> None:
        def record(*args: Any) -> Any:
            found.append((name, *args))
            return answer

        monkeypatch.setattr(owner, name, record)

    monkeypatch.setattr(tasks, "worker_deps", lambda: DEPS)
    watch(service, "decide_shard")
    watch(service, "sweep", 2)
    watch(tasks, "exchange_parts")
    watch(tasks, "advise_headroom")
    watch(due, "fit_posteriors")
    watch(tasks, "send_due")
    watch(tasks, "judge_shard")
    watch(operations, "run_replay")
    return found


def test_jobs_reach_their_use_cases(calls: list[tuple[Any, ...]]) -> None:
    tasks.decide_shard(3, AT.isoformat())
    tasks.sweep()
    tasks.fit_posteriors(is_scheduled=True)
    tasks.judge_models(is_scheduled=True)
    tasks.judge_models(shard=3)
    tasks.replay_decision(7)
    assert calls == [
        ("decide_shard", DEPS, 3, AT),
        ("sweep", DEPS),
        ("exchange_parts", DEPS),
        ("advise_headroom", DEPS),
        ("fit_posteriors", DEPS, True),
        ("send_due", DEPS, True),
        ("judge_shard", DEPS, 3, False),
        ("run_replay", DEPS, 7),
    ]
