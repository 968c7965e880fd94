"""Processor time is counted to the part of the demo in which it was used, and once."""

from __future__ import annotations

import subprocess
import sys

from services.lab.demo.spent import DRIVER, CpuMeter

_BUSY_S = 0.3
_BURN = "import sys, time\nwhile time.process_time() < float(sys.argv[1]): pass\n"
_WAIT = "print('done', flush=True)\nsys.stdin.read()\n"


def _busy(then: str = "") -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", _BURN + then, str(_BUSY_S)]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_what_another_process_uses_is_its_own_in_the_part_in_which_it_does() -> None:
    with _busy(_WAIT) as child:
        assert child.stdout is not None
        child.stdout.readline()
        meter = CpuMeter(lambda: {"worker": child.pid})
        meter.mark("start")
        meter.mark("replay")
        child.communicate()
    found = meter.to_json()
    assert list(found) == ["start", "replay"]
    assert found["start"]["worker"] >= 0.8 * _BUSY_S
    assert found["replay"]["worker"] == 0.0
    assert found["start"]["all"] >= found["start"]["worker"] + found["start"][DRIVER] - 0.02


def test_a_process_that_has_ended_is_not_counted_twice() -> None:
    pids: dict[str, int] = {}
    meter = CpuMeter(lambda: pids)
    meter.mark("start")
    with _busy(_WAIT) as child:
        assert child.stdout is not None
        child.stdout.readline()
        pids["rivals"] = child.pid
        meter.mark("replay")
        child.communicate()
    pids.clear()
    meter.mark("rivals")
    found = meter.to_json()
    assert found["replay"]["rivals"] >= 0.8 * _BUSY_S
    assert found["rivals"][DRIVER] < found["replay"]["rivals"]


def test_what_ended_between_two_marks_is_of_the_process_that_waited_for_it() -> None:
    meter = CpuMeter(dict)
    meter.mark("start")
    with _busy() as child:
        child.communicate()
    meter.mark("replay")
    assert meter.to_json()["replay"][DRIVER] >= 0.8 * _BUSY_S
