"""The rivals run in a process of their own, and come out as they do in this one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from services.kernel.errors import Unavailable
from services.kernel.settings import Settings
from services.lab.demo.rivals import SharedDay, judge_rivals
from services.lab.demo.rivals_aside import RivalsAside
from services.platform.platform import Platform
from services.platform.processes import Supervisor
from services.simulator import draw_served_fleet
from services.simulator.fleet import FleetOptions, generate_fleet, with_pools

RIVALS = ["hpa", "trailing_percentile", "static_peak", "oracle"]


@pytest.fixture(scope="module")
def day() -> SharedDay:
    """Three services of which one has two pools: two days of history, two hours to replay."""
    options = FleetOptions(seed=3, n_workloads=3, step_s=600, n_history=288, n_replay=12)
    scaled = with_pools(generate_fleet(options))
    return SharedDay(scaled, draw_served_fleet(scaled), 0.01)


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    with Supervisor(tmp_path) as supervisor:
        yield Platform(Settings(), supervisor, tmp_path)


def nothing() -> None:
    """A check that finds every process alive."""


def test_they_are_judged_aside_as_they_are_here(day: SharedDay, platform: Platform) -> None:
    with RivalsAside(day, platform) as aside:
        found = aside.result(nothing)
    here = judge_rivals(day)
    assert [one.name for one in found.scores] == [one.name for one in found.by_target] == RIVALS
    for ours, theirs in zip(
        (*here.scores, *here.by_target), (*found.scores, *found.by_target), strict=True
    ):
        assert (ours.setting, ours.cost_usd) == (theirs.setting, theirs.cost_usd)
        np.testing.assert_array_equal(ours.workload_violation_rate, theirs.workload_violation_rate)
    assert [one.policy for one in found.frontiers] == ["hpa", "trailing_percentile"]
    for ours, theirs in zip(here.frontiers, found.frontiers, strict=True):
        assert ours.settings == theirs.settings
        np.testing.assert_array_equal(ours.cost_usd, theirs.cost_usd)


def test_a_process_that_fails_is_reported_with_its_last_words(
    day: SharedDay, platform: Platform
) -> None:
    broken = replace(day, epsilon=None)  # type: ignore[arg-type]  # the fault
    with (
        RivalsAside(broken, platform) as aside,
        pytest.raises(Unavailable, match=r"process rivals ended with status 1: TypeError.*rivals"),
    ):
        aside.result(nothing)


def test_what_ends_another_process_ends_the_wait(day: SharedDay, platform: Platform) -> None:
    def check() -> None:
        raise Unavailable("process operator was killed by SIGKILL")

    with (
        RivalsAside(day, platform) as aside,
        pytest.raises(Unavailable, match="process operator"),
    ):
        aside.result(check)


def test_leaving_ends_the_process(day: SharedDay, platform: Platform) -> None:
    started = time.monotonic()
    with RivalsAside(day, platform) as aside:
        pid = aside._child.pid
        assert psutil.pid_exists(pid)
    assert not psutil.pid_exists(pid)
    assert time.monotonic() - started < 30
