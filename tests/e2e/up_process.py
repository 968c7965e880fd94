"""`harmony up` as a process of its own, to be killed in part or stopped at any moment."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

PATIENCE_S = 120.0


def eventually(ask: Callable[[], object], what: Callable[[], str]) -> None:
    """Ask until the answer is true."""
    deadline = time.monotonic() + PATIENCE_S
    while not ask():
        assert time.monotonic() < deadline, what()
        time.sleep(0.05)  # another process's work cannot be awaited otherwise


class UpProcess:
    """A platform on ports and in a folder of its own."""

    def __init__(self, home: Path, log: Path) -> None:
        """Start it, and do not wait."""
        self.home = home
        self._log = log
        kept = {k: v for k, v in os.environ.items() if not k.startswith("HARMONY_")}
        given = {"HARMONY_HOME": str(home), "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}
        ports = {"HARMONY_INGEST_PORT": "0", "HARMONY_WORKER_METRICS_PORT": "0"}
        command = [sys.executable, "-m", "services.cli", "up", "--port", "0"]
        with log.open("wb") as stream:
            self.process = subprocess.Popen(
                command, env={**kept, **given, **ports}, stdout=stream, stderr=stream
            )

    @property
    def folder(self) -> Path:
        """Its data."""
        return self.home / "up"

    def printed(self) -> str:
        """All that it has printed."""
        return self._log.read_text()

    def found(self, pattern: str) -> str:
        """Part of what it has printed."""
        found = re.search(pattern, self.printed())
        assert found, self.printed()
        return found[1]

    def wait_started(self) -> None:
        """Wait until it says that it runs."""
        self.wait_printed("Ctrl-C ends.")

    def wait_printed(self, words: str, n_times: int = 1) -> None:
        """Wait until it has printed some words so often."""

        def is_there() -> bool:
            assert self.process.poll() is None, self.printed()
            return self.printed().count(words) >= n_times

        eventually(is_there, lambda: f"never saw {words!r} {n_times} times: {self.printed()}")

    def pids(self) -> dict[str, int]:
        """Process ids by name, as it notes them; empty: it has noted none."""
        try:
            record = json.loads((self.folder / "processes.json").read_text())
        except FileNotFoundError:
            return {}
        return {line["name"]: line["pid"] for line in record["processes"]}

    def kill(self, name: str, word: signal.Signals = signal.SIGKILL) -> float:
        """End one of its processes; seconds until it says that it is back."""
        back = f"{name} is back after"
        n_before = self.printed().count(back)
        started = time.monotonic()
        os.kill(self.pids()[name], word)
        self.wait_printed(back, n_before + 1)
        return time.monotonic() - started

    def stop(self, word: signal.Signals = signal.SIGINT) -> float:
        """Stop it; seconds that it took. Nothing of it is left then."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        started = time.monotonic()
        self.process.send_signal(word)
        self.process.wait(PATIENCE_S)
        took = time.monotonic() - started
        _, alive = psutil.wait_procs(family, timeout=PATIENCE_S)
        assert [one for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []
        return took

    def end(self) -> None:
        """End it whatever a test has left."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
