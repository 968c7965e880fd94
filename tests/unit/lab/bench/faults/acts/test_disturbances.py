"""Faults around processes, on real ones that are looked after as under `harmony up`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from services.lab.bench.faults.acts import disturbances
from services.lab.bench.faults.acts.disturbances import FullLogs, Misname, RunTwice, Storm
from tests.unit.lab.bench.faults.acts.small_rig import running_small_rig

NAMES = ("operator", "beat")


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(disturbances, "PROCESSES", NAMES)
    with running_small_rig(tmp_path, *NAMES) as found:
        yield found


def test_a_storm_has_bitten_once_all_are_others(rig: Any) -> None:
    before = {name: rig.child(name).pid for name in NAMES}
    act = Storm()
    assert act.begin(rig)
    rig.until(lambda: act.go_on(rig) and rig.child("beat").pid != before["beat"])
    rig.until(lambda: act.has_bitten(rig))
    assert all(rig.child(name).pid != before[name] for name in NAMES)


def test_one_too_many_runs_beside_the_first_and_is_ended(rig: Any) -> None:
    first = rig.child("beat").pid
    act = RunTwice("beat")
    assert not act.has_bitten(rig)
    assert act.begin(rig)
    assert act.go_on(rig)
    assert act.has_bitten(rig)
    (second,) = rig.pids() - {rig.child(name).pid for name in NAMES}
    assert act.end(rig)
    assert not psutil.pid_exists(second)
    assert rig.child("beat").pid == first


@pytest.mark.parametrize(
    ("server", "variable"),
    [("database", "HARMONY_DATABASE_URL"), ("broker", "HARMONY_REDIS_URL")],
)
def test_a_name_that_nobody_knows_is_given_and_taken_back(
    rig: Any, server: str, variable: str
) -> None:
    right = rig.child("beat").spec.env[variable]
    act = Misname(server, "beat")
    assert act.begin(rig)
    assert "server.invalid" in rig.child("beat").spec.env[variable]
    rig.until(lambda: act.go_on(rig) and act.has_bitten(rig))
    assert act.end(rig)
    assert rig.child("beat").spec.env[variable] == right
    rig.until(lambda: _variable(rig.child("beat").pid, variable) == right)


def test_no_process_can_write_to_a_file_for_a_while(rig: Any) -> None:
    process = psutil.Process(rig.child("beat").pid)
    before = process.rlimit(psutil.RLIMIT_FSIZE)
    act = FullLogs()
    assert act.begin(rig)
    assert act.go_on(rig)
    assert process.rlimit(psutil.RLIMIT_FSIZE)[0] == 0
    assert act.end(rig)
    assert process.rlimit(psutil.RLIMIT_FSIZE) == before
    assert act.has_bitten(rig)


def _variable(pid: int, name: str) -> str:
    """Of a living process; empty for one that has just ended."""
    try:
        return psutil.Process(pid).environ().get(name, "")
    except psutil.Error:
        return ""
