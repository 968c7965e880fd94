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
from services.lab.demo.rivals import Race, RivalsAside, by_service, judge_rivals
from services.platform.platform import Platform
from services.platform.processes import Supervisor
from services.simulator import draw_served_fleet, run_rivals
from services.simulator.fleet import FleetOptions, generate_fleet, with_pools

RIVALS = ["hpa", "trailing_percentile", "static_peak", "oracle"]


@pytest.fixture(scope="module")
def race() -> Race:
    """Three services of which one has two pools: two days of history, two hours to replay."""
    options = FleetOptions(seed=3, n_workloads=3, step_s=600, n_history=288, n_replay=12)
    scaled = with_pools(generate_fleet(options))
    return Race(scaled, draw_served_fleet(scaled), 0.01)


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    with Supervisor(tmp_path) as supervisor:
        yield Platform(Settings(), supervisor, tmp_path)


def nothing() -> None:
    """A check that finds every process alive."""


def test_they_are_judged_aside_as_they_are_here(race: Race, platform: Platform) -> None:
    with RivalsAside(race, platform) as aside:
        found = aside.result(nothing)
    here = judge_rivals(race)
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


def test_services_are_judged_by_what_requests_felt_or_by_what_is_stated(race: Race) -> None:
    targets = race.scaled.targets
    found = run_rivals(targets, epsilon=race.epsilon, seed=targets.seed)
    felt = by_service(race, found.scores, found.runs)
    stated = by_service(replace(race, served=None), found.scores, found.runs)
    for by_felt, by_stated, by_target in zip(felt, stated, found.scores, strict=True):
        assert by_felt.workload_violation_rate.size == race.scaled.services.n_workloads
        assert by_felt.believed_violation_rate == by_stated.violation_rate
        assert by_stated.believed_violation_rate is None
        assert by_felt.cost_usd == pytest.approx(by_target.cost_usd)


def test_a_process_that_fails_is_reported_with_its_last_words(
    race: Race, platform: Platform
) -> None:
    broken = replace(race, epsilon=None)  # type: ignore[arg-type]  # the fault
    with (
        RivalsAside(broken, platform) as aside,
        pytest.raises(Unavailable, match=r"process rivals ended with status 1: TypeError.*rivals"),
    ):
        aside.result(nothing)


def test_what_ends_another_process_ends_the_wait(race: Race, platform: Platform) -> None:
    def check() -> None:
        raise Unavailable("process operator was killed by SIGKILL")

    with (
        RivalsAside(race, platform) as aside,
        pytest.raises(Unavailable, match="process operator"),
    ):
        aside.result(check)


def test_leaving_ends_the_process(race: Race, platform: Platform) -> None:
    started = time.monotonic()
    with RivalsAside(race, platform) as aside:
        pid = aside._child.pid
        assert psutil.pid_exists(pid)
    assert not psutil.pid_exists(pid)
    assert time.monotonic() - started < 30
