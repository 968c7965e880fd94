"""Faults of processes, on real ones that are looked after as under `harmony up`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from services.lab.bench.faults.acts.processes import (
    KillProcess,
    LeadTwice,
    PauseProcess,
    SkewClock,
    Sleep,
)
from tests.unit.lab.bench.faults.acts.small_rig import running_small_rig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Any]:
    with running_small_rig(tmp_path, "operator", "beat") as found:
        yield found


@pytest.mark.parametrize("is_asked", [True, False])
def test_a_killed_process_has_bitten_once_another_has_its_place(rig: Any, is_asked: bool) -> None:
    act = KillProcess("beat", is_asked=is_asked)
    assert not act.has_bitten(rig)
    assert act.begin(rig)
    rig.until(lambda: act.has_bitten(rig))
    assert rig.child("operator").is_alive()


def test_what_has_just_ended_is_killed_once_it_is_back(rig: Any) -> None:
    rig.child("beat").kill()
    assert not KillProcess("beat").begin(rig)
    assert not PauseProcess("beat").begin(rig)
    rig.until(lambda: rig.child("beat").is_alive())
    assert KillProcess("beat").begin(rig)


def test_a_paused_process_stands_still_and_goes_on(rig: Any) -> None:
    act = PauseProcess("beat")
    assert act.begin(rig)
    process = psutil.Process(rig.child("beat").pid)
    rig.until(lambda: process.status() == psutil.STATUS_STOPPED)
    assert act.go_on(rig)
    assert act.end(rig)
    rig.until(lambda: process.status() != psutil.STATUS_STOPPED)
    assert act.has_bitten(rig)


def test_all_sleep_at_once_and_wake(rig: Any) -> None:
    act = Sleep()
    assert not act.has_bitten(rig)
    assert act.begin(rig)
    processes = [psutil.Process(rig.child(name).pid) for name in ("operator", "beat")]
    rig.until(lambda: all(one.status() == psutil.STATUS_STOPPED for one in processes))
    assert act.go_on(rig)
    assert act.end(rig)
    rig.until(lambda: all(one.status() != psutil.STATUS_STOPPED for one in processes))
    assert act.has_bitten(rig)


def test_a_process_that_was_killed_while_paused_does_no_harm(rig: Any) -> None:
    act = PauseProcess("beat")
    assert act.begin(rig)
    rig.child("beat").kill()
    assert act.end(rig)


def test_a_clock_is_wrong_for_a_while(rig: Any) -> None:
    argv = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "0"]
    child = rig.child("beat")
    child.spec = replace(child.spec, argv=argv)
    act, other = SkewClock("beat", 5.0), SkewClock("beat", -5.0)
    assert other.begin(rig)
    assert act.begin(rig)
    rig.until(lambda: act.go_on(rig) and act.has_bitten(rig))
    assert not other.has_bitten(rig)
    assert list(rig.child("beat").spec.argv)[-4:] == argv[-4:]
    assert act.end(rig)
    assert other.end(rig)
    assert rig.child("beat").spec.argv == argv
    assert rig.child("beat").is_alive()


def test_the_first_goes_on_once_the_second_leads(rig: Any) -> None:
    act = LeadTwice()
    assert act.begin(rig)
    first = psutil.Process(rig.child("operator").pid)
    rig.until(lambda: first.status() == psutil.STATUS_STOPPED)
    (pid,) = rig.pids() - {rig.child(name).pid for name in ("operator", "beat")}
    second = psutil.Process(pid)
    act.go_on(rig)
    assert not act.has_bitten(rig)
    rig.holder = f"host_{second.pid}_abc"
    act.go_on(rig)
    assert act.has_bitten(rig)
    rig.until(lambda: first.status() != psutil.STATUS_STOPPED)
    assert act.end(rig)
    assert not second.is_running()
    assert first.is_running()
