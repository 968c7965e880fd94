"""Scales as a watcher saw them, for tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from services.lab.bench.faults.outside.scale_log import SeenScale

START = datetime(2026, 1, 5, tzinfo=UTC)


def seen(key: str, *at_and_replicas: tuple[float, int], pods: int = 0) -> list[SeenScale]:
    """One entry for each (seconds, replicas)."""
    return [
        SeenScale(START + timedelta(seconds=at_s), key, replicas, pods)
        for at_s, replicas in at_and_replicas
    ]
