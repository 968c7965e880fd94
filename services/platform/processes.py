"""Starts, watches and ends the platform's processes.

Children run in sessions of their own, so that Ctrl-C reaches this process only, which then ends
them in reverse order. On Linux the kernel ends them too if this process is killed; what it leaves
is ended by the next process that uses the folder.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from itertools import zip_longest
from pathlib import Path
from types import TracebackType

import psutil

from services.kernel.errors import Unavailable
from services.platform.child import Child, ProcessSpec
from services.platform.claim import FolderClaim
from services.platform.stop_signals import stop_signals_deferred

_POLL_S = 0.05
_ENDING_TIMEOUT_S = 3.0  # once for services, once for servers: Ctrl-C may take 10 s
_NEXT_ENDING_TIMEOUT_S = 0.5


class Supervisor(AbstractContextManager["Supervisor"]):
    """Owns a folder and the child processes; leaving the context ends all of them."""

    def __init__(self, folder: Path) -> None:
        """Keep the children's output in `folder/logs`.

        Raises:
            Unavailable: Another process uses the folder.
        """
        self._claim = FolderClaim(folder)
        self._logs = folder / "logs"
        self._logs.mkdir(parents=True, exist_ok=True)
        self._children: dict[str, Child] = {}

    def start(self, spec: ProcessSpec) -> None:
        """Start one process without waiting for it."""
        with stop_signals_deferred():
            child = Child(spec, self._logs / f"{spec.name}.log")
            self._children[spec.name] = child
            self._note()

    def start_again(self, child: Child) -> None:
        """Start one of the children that has ended, without waiting for it.

        Raises:
            OSError: The system cannot now.
        """
        with stop_signals_deferred():
            child.start()
            self._note()

    def start_all(self, specs: Sequence[ProcessSpec]) -> None:
        """Start all at once, then wait until each is ready.

        Raises:
            Unavailable: One ended or did not get ready; the message has its last line of output.
        """
        for spec in specs:
            self.start(spec)
        for spec in specs:
            self._wait_for(self._children[spec.name])

    def wait_ready(self) -> None:
        """Wait until every child is ready.

        Raises:
            Unavailable: One ended or did not get ready; the message has its last line of output.
        """
        for child in list(self._children.values()):
            self._wait_for(child)

    def run(self, spec: ProcessSpec) -> None:
        """Run a process that does one thing and ends.

        Raises:
            Unavailable: It fails, or takes longer than it may to be ready.
        """
        self.start(spec)
        child = self._children[spec.name]
        if not child.wait(spec.start_timeout_s):
            child.kill()
            raise Unavailable(f"{spec.name} took longer than {spec.start_timeout_s:.0f} s")
        if not child.has_succeeded():
            raise Unavailable(f"process {spec.name} {child.ending()} (log: {child.log})")
        del self._children[spec.name]

    def scratch(self, parent: Path | None = None) -> Path:
        """A temporary folder that is gone after the processes."""
        with stop_signals_deferred():
            folder = self._claim.scratch(parent)
            self._note()
            return folder

    def address(self, name: str) -> str:
        """Address of a child's server, from the line that the child prints.

        Raises:
            Unavailable: It has not said so.
        """
        found = self._children[name].address() if name in self._children else None
        if found is None:
            raise Unavailable(f"process {name} has not said where it listens")
        return found

    def check(self) -> None:
        """See that all children live.

        Raises:
            Unavailable: One has ended.
        """
        for name, child in self._children.items():
            if not child.is_alive():
                raise Unavailable(f"process {name} {child.ending()} (log: {child.log})")

    def children(self) -> list[Child]:
        """The children, servers first, in the order of their start."""
        return sorted(self._children.values(), key=lambda child: not child.spec.is_server)

    def pids(self) -> list[int]:
        """Process ids of the children that live and of theirs."""
        pids: list[int] = []
        for child in self._children.values():
            if child.is_alive():
                try:
                    family = psutil.Process(child.pid).children(recursive=True)
                except psutil.NoSuchProcess:
                    continue
                pids += [child.pid, *(process.pid for process in family)]
        return pids

    def stop(self) -> None:
        """End all children, servers last: terminate, wait a little, kill what is left.

        A second Ctrl-C must not interrupt this.
        """
        with stop_signals_deferred():
            children = self.children()[::-1]
            _end_all([child for child in children if not child.spec.is_server])
            _end_all([child for child in children if child.spec.is_server])
            self._children.clear()
            self._claim.release()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _note(self) -> None:
        self._claim.note([child for child in self._children.values() if child.is_alive()])

    def _wait_for(self, child: Child) -> None:
        deadline = time.monotonic() + child.spec.start_timeout_s
        while not child.is_ready():
            self.check()
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"process {child.spec.name} was not ready within "
                    f"{child.spec.start_timeout_s:.0f} s: {child.last_line()} (log: {child.log})"
                )
            time.sleep(_POLL_S)
        self.check()


def _end_all(children: Sequence[Child]) -> None:
    """Send each its endings, one after the other; what outlives them is killed."""
    for child in children:
        if child.spec.endings[0] == signal.SIGKILL and child.is_alive():
            child.kill()  # with what it has started
    timeout_s = _ENDING_TIMEOUT_S
    for words in zip_longest(*(child.spec.endings for child in children)):
        for child, word in zip(children, words, strict=True):
            if word is not None:
                child.send(word)
        deadline = time.monotonic() + timeout_s
        for child in children:
            child.wait(max(0.0, deadline - time.monotonic()))
        timeout_s = _NEXT_ENDING_TIMEOUT_S
    for child in children:
        if child.is_alive():
            child.kill()


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


def family_cpu_s(pid: int) -> float:
    """CPU time of a process, of its children that live, and of those that it has waited for."""
    try:
        process = psutil.Process(pid)
        times = process.cpu_times()
        children = process.children(recursive=True)
    except psutil.NoSuchProcess:
        return 0.0
    total = times.user + times.system + times.children_user + times.children_system
    for child in children:
        try:
            spent = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += spent.user + spent.system
    return float(total)
