"""Children are watched, and none outlives its supervisor."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from services.kernel.errors import Unavailable
from services.platform.child import ProcessSpec
from services.platform.processes import Supervisor, family_cpu_s, resident_gib

UP = "print('child listens on http://127.0.0.1:4711', flush=True)"
FOREVER = [sys.executable, "-c", f"import time; {UP}; time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-c",
    f"import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); {UP}; time.sleep(600)",
]


def test_leaving_ends_all_children_even_stubborn_ones(tmp_path: Path) -> None:
    started = time.monotonic()
    with Supervisor(tmp_path) as supervisor:
        specs = [
            ProcessSpec(name, argv, server="child")
            for name, argv in (("plain", FOREVER), ("stubborn", STUBBORN))
        ]
        supervisor.start_all(specs)
        pids = supervisor.pids()
        assert len(pids) == 2
        assert resident_gib(pids) > 0
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert time.monotonic() - started < 60


def test_where_a_child_listens_is_known_once_it_is_ready(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        with pytest.raises(Unavailable, match="has not said where it listens"):
            supervisor.address("one")
        supervisor.start_all([ProcessSpec("one", FOREVER, server="child")])
        assert supervisor.address("one") == "http://127.0.0.1:4711"


def test_children_that_were_started_apart_are_waited_for_together(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        for name in ("one", "two"):
            supervisor.start(ProcessSpec(name, FOREVER, server="child"))
        supervisor.wait_ready()
        assert {supervisor.address(name) for name in ("one", "two")} == {"http://127.0.0.1:4711"}
        supervisor.start(ProcessSpec("three", [sys.executable, "-c", ""], server="child"))
        with pytest.raises(Unavailable, match="process three ended with status 0"):
            supervisor.wait_ready()


def test_a_child_that_ends_is_reported_with_its_last_words(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "import sys; print('first'); sys.exit('the port is taken')"]
    spec = ProcessSpec("short", argv, server="child")
    with Supervisor(tmp_path) as supervisor, pytest.raises(Unavailable, match="the port is taken"):
        supervisor.start_all([spec])


def test_a_child_that_is_never_ready_is_reported(tmp_path: Path) -> None:
    spec = ProcessSpec("slow", FOREVER, server="another", start_timeout_s=0.2)
    with Supervisor(tmp_path) as supervisor, pytest.raises(Unavailable, match="slow was not ready"):
        supervisor.start_all([spec])


@pytest.mark.skipif(sys.platform != "linux", reason="parent-death signal is Linux only")
def test_children_die_with_a_killed_parent(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; "
        "from services.platform.child import ProcessSpec; "
        "from services.platform.processes import Supervisor; "
        f"s = Supervisor(Path({str(tmp_path)!r})); s.start(ProcessSpec('child', {FOREVER!r})); "
        "print(s.pids()[0], flush=True); time.sleep(600)"
    )
    parent = psutil.Popen([sys.executable, "-c", code], stdout=-1)
    child = psutil.Process(int(parent.stdout.readline()))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    gone, alive = psutil.wait_procs([child], timeout=60)
    assert [process.pid for process in gone] == [child.pid]
    assert alive == []


def test_what_is_to_be_killed_goes_at_once_with_what_it_has_started(tmp_path: Path) -> None:
    stubborn = (
        "import signal, subprocess, sys, time; "
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
        "print('one listens on http://127.0.0.1:1', flush=True); time.sleep(600)"
    )
    spec = ProcessSpec(
        "one", [sys.executable, "-c", stubborn], server="one", endings=(signal.SIGKILL,)
    )
    with Supervisor(tmp_path) as supervisor:
        supervisor.start_all([spec])
        family = [psutil.Process(pid) for pid in supervisor.pids()]
        assert len(family) == 2
    _, alive = psutil.wait_procs(family, timeout=60)
    assert alive == []


def test_a_family_has_the_time_of_children_that_have_ended() -> None:
    before = family_cpu_s(os.getpid())
    code = "import time\nwhile time.process_time() < 0.3: pass"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert family_cpu_s(os.getpid()) - before >= 0.25


def test_a_family_that_is_not_there_has_no_time() -> None:
    assert family_cpu_s(2**22 + 1) == 0.0


def test_a_process_of_the_background_gives_way_from_its_start(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        supervisor.start_all(
            [
                ProcessSpec("plain", FOREVER, server="child"),
                ProcessSpec("background", FOREVER, server="child", niceness=5),
            ]
        )
        own = os.nice(0)
        found = {child.spec.name: psutil.Process(child.pid) for child in supervisor.children()}
        assert found["plain"].nice() == own
        assert found["background"].nice() == min(19, own + 5)


def test_its_session_gives_way_too_where_the_kernel_groups_by_session(tmp_path: Path) -> None:
    if not _session_group(os.getpid()):
        pytest.skip("this kernel does not group processes by session (sched_autogroup_enabled)")
    specs = [
        ProcessSpec("plain", FOREVER, server="child"),
        ProcessSpec("background", FOREVER, server="child", niceness=5),
        ProcessSpec("next", FOREVER, server="child", niceness=5),
    ]
    with Supervisor(tmp_path) as supervisor:
        supervisor.start_all(specs)
        found = {c.spec.name: _session_group(c.pid).split() for c in supervisor.children()}
    assert {name: said[-2:] for name, said in found.items()} == {
        "plain": ["nice", "0"],
        "background": ["nice", "5"],
        "next": ["nice", "5"],
    }


def _session_group(pid: int) -> str:
    """What the kernel says of the group of a session; empty where it has none."""
    group = Path(f"/proc/{pid}/autogroup")
    return group.read_text() if group.exists() else ""
