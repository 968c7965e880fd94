"""Start-up draws of pods."""

from __future__ import annotations

import pytest

from services.simulator.engine.engine import StartupSpec
from tests.unit.simulator.engine.clusters import engine, spec, start_lengths


def test_a_failing_start_is_one_longer_start() -> None:
    failing = StartupSpec(median_s=30.0, sigma=0.0, fail_probability=1.0, restart_s=7.0)
    cluster = engine()
    cluster.add_deployment(spec(startup=failing, replicas=1, is_warm=False))
    events = cluster.advance(100.0)
    assert [(e.at_s, e.kind.value) for e in events] == [
        (0.0, "created"),
        (0.0, "scheduled"),
        (30.0, "crashed"),
        (37.0, "restarted"),
        (67.0, "ready"),
    ]
    assert cluster.pod("ns/a", 0).restarts == 1


def test_the_nth_pod_has_the_same_luck_whatever_else_happens() -> None:
    startup = StartupSpec(median_s=60.0, sigma=0.5)
    alone, crowded = engine(4), engine(4)
    alone.add_deployment(spec(startup=startup, is_warm=False))
    crowded.add_deployment(spec("ns/other", startup=startup, replicas=3, is_warm=False))
    crowded.add_deployment(spec(startup=startup, is_warm=False))
    first = start_lengths(alone, "ns/a", [1.0, 2.0, 3.0])
    second = start_lengths(crowded, "ns/a", [10.0, 400.0, 401.0])
    assert first == pytest.approx(second, abs=1e-6)
    assert len(set(first.values())) == 3


@pytest.mark.slow
def test_start_lengths_follow_the_lognormal_asked_for() -> None:
    import numpy as np

    startup = StartupSpec(median_s=45.0, sigma=0.3, fail_probability=0.1)
    cluster = engine(1, 2_000)
    cluster.add_deployment(spec(startup=startup, replicas=2_000, is_warm=False))
    cluster.advance(1e5)
    pods = cluster.pods("ns/a")
    clean = np.log(
        [p.ready_s - p.bound_s for p in pods if not p.restarts and p.bound_s is not None]
    )
    n = len(clean)
    # Five standard errors of the mean, the deviation and the share.
    assert abs(clean.mean() - np.log(45.0)) < 5 * 0.3 / n**0.5
    assert abs(clean.std() - 0.3) < 5 * 0.3 / (2 * n) ** 0.5
    assert abs(n / 2_000 - 0.9) < 5 * (0.9 * 0.1 / 2_000) ** 0.5
