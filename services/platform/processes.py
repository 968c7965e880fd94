"""Starts, watches and ends the platform's processes.

Children run in sessions of their own, so that Ctrl-C reaches this process only, which then ends
them in reverse order. On Linux the kernel ends them too if this process is killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import psutil

from services.kernel.errors import Unavailable
from services.kernel.listening import find_address
from services.platform.lifeline import end_with_parent

_TERM_TIMEOUT_S = 5.0
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """A process to run.

    Attributes:
        name: Short name, also of its log file.
        argv: Command line.
        env: Variables added to this process's own.
        server: Name under which it says where it listens, and so is ready; None: once started.
        start_timeout_s: How long it may take to be ready.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    server: str | None = None
    start_timeout_s: float = 60.0


@contextmanager
def stop_signals_deferred() -> Iterator[None]:
    """SIGINT and SIGTERM wait until the block has ended, then take their course.

    An exception raised by a handler between a child's start and its being noted would leave the
    child to itself; raised inside one of the interpreter's fork hooks it would even be swallowed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # handlers run in the main thread only
        return
    arrived: list[int] = []
    previous = {
        word: signal.signal(word, lambda number, _frame: arrived.append(number))
        for word in _STOP_SIGNALS
    }
    try:
        yield
    finally:
        for word, handler in previous.items():
            signal.signal(word, handler)
    if arrived:
        signal.raise_signal(arrived[0])


class Supervisor(AbstractContextManager["Supervisor"]):
    """Owns the child processes; leaving the context ends all of them."""

    def __init__(self, log_dir: Path) -> None:
        """Keep the children's output in `log_dir`."""
        self._log_dir = log_dir
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._specs: dict[str, ProcessSpec] = {}
        log_dir.mkdir(parents=True, exist_ok=True)

    def start(self, spec: ProcessSpec) -> None:
        """Start one process without waiting for it."""
        self._specs[spec.name] = spec
        with stop_signals_deferred(), self._log(spec.name).open("wb") as stream:
            self._children[spec.name] = subprocess.Popen(
                list(spec.argv),
                env={**os.environ, **spec.env},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=end_with_parent,  # noqa: PLW1509 - one system call
            )

    def start_all(self, specs: Sequence[ProcessSpec]) -> None:
        """Start all at once, then wait until each is ready.

        Raises:
            Unavailable: One ended or did not get ready; the message has its last line of output.
        """
        for spec in specs:
            self.start(spec)
        for spec in specs:
            self._wait_ready(spec)

    def address(self, name: str) -> str:
        """Address of a child's server, from the line that the child prints.

        Raises:
            Unavailable: It has not said so.
        """
        found = self._find_address(self._specs[name]) if name in self._specs else None
        if found is None:
            raise Unavailable(f"process {name} has not said where it listens")
        return found

    def check(self) -> None:
        """See that all children live.

        Raises:
            Unavailable: One has ended.
        """
        for name, child in self._children.items():
            if child.poll() is not None:
                raise Unavailable(
                    f"process {name} ended with status {child.returncode}: {self._last_line(name)} "
                    f"(log: {self._log(name)})"
                )

    def pids(self) -> list[int]:
        """Process ids of the children that live and of theirs."""
        pids: list[int] = []
        for child in self._children.values():
            if child.poll() is None:
                try:
                    family = psutil.Process(child.pid).children(recursive=True)
                except psutil.NoSuchProcess:
                    continue
                pids += [child.pid, *(process.pid for process in family)]
        return pids

    def stop(self) -> None:
        """End all children: terminate, wait a little, kill what is left.

        A second Ctrl-C must not interrupt this.
        """
        with stop_signals_deferred():
            self._end_all()

    def _end_all(self) -> None:
        living = [child for child in reversed(self._children.values()) if child.poll() is None]
        for child in living:
            child.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + _TERM_TIMEOUT_S
        for child in living:
            try:
                child.wait(max(0.05, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _kill_session(child.pid)
                child.wait()
        self._children.clear()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _wait_ready(self, spec: ProcessSpec) -> None:
        deadline = time.monotonic() + spec.start_timeout_s
        while spec.server is not None and self._find_address(spec) is None:
            self.check()
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"process {spec.name} was not ready within {spec.start_timeout_s:.0f} s: "
                    f"{self._last_line(spec.name)} (log: {self._log(spec.name)})"
                )
            time.sleep(0.05)
        self.check()

    def _find_address(self, spec: ProcessSpec) -> str | None:
        output = self._log(spec.name).read_text(errors="replace")
        return find_address(output, spec.server) if spec.server else None

    def _log(self, name: str) -> Path:
        return self._log_dir / f"{name}.log"

    def _last_line(self, name: str) -> str:
        lines = self._log(name).read_text(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "no output"


def _kill_session(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def resident_gib(pids: Sequence[int]) -> float:
    """Memory of the processes in GiB, pages shared between them counted once.

    Proportional set size where the kernel tells it (Linux), else resident set size, which counts
    shared pages several times.
    """
    total = 0
    for pid in pids:
        try:
            info = psutil.Process(pid).memory_full_info()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        total += int(getattr(info, "pss", info.rss))
    return total / 2**30
