"""A thread from entering to leaving."""

from __future__ import annotations

import threading

from services.lab.bench.faults.outside.own_thread import OwnThread


class Counting(OwnThread):
    def __init__(self) -> None:
        super().__init__("counting", 60.0)
        self.said: list[str] = []
        self.ran = threading.Event()

    def _begin(self) -> None:
        self.said.append("begins")

    def _run(self) -> None:
        self.said.append("runs")
        self.ran.set()
        self._stop.wait()
        self.said.append("ends")

    def _close(self) -> None:
        self.said.append("closes")


def test_it_begins_runs_until_it_is_stopped_and_closes() -> None:
    with Counting() as counting:
        assert counting.ran.wait(60.0)
        assert counting.said == ["begins", "runs"]
    assert counting.said == ["begins", "runs", "ends", "closes"]
