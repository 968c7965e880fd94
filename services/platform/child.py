"""One process of the platform: how it is started, when it is ready, how it ended."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from services.kernel.listening import find_address
from services.platform.lifeline import begin

_TAIL_BYTES = 8192
MOST_LOG_BYTES = 64 * 2**20
"""Of a log, and of the one before it."""


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """A process to run.

    Attributes:
        name: Short name, also of its log file.
        argv: Command line.
        env: Variables added to this process's own.
        server: Name under which it says where it listens, and so is ready; None: once started.
        start_timeout_s: How long it may take to be ready.
        port_by: Variable, or option with its dashes, that gives it a port: started again, it
            listens where it did before, so that those who know its address find it.
        probe: Tells from its process id whether it is ready, where it does not say so itself.
        is_stuck: Tells from its process id whether it lives and will never work again.
        endings: Signals that end it: each gets a while, then it is killed. The kernel sends the
            first when this process is killed.
        is_server: A database or broker: the others start after it, and end before it.
        options: Further arguments of `subprocess.Popen`, as the user that it runs as.
        restart_note: What whoever reads that it runs again must know.
        niceness: By how much it gives way to the other processes, 0 to 19.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    server: str | None = None
    start_timeout_s: float = 60.0
    port_by: str = ""
    probe: Callable[[int], bool] | None = None
    is_stuck: Callable[[int], bool] | None = None
    endings: Sequence[signal.Signals] = (signal.SIGTERM,)
    is_server: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    restart_note: str = ""
    niceness: int = 0


class Child:
    """A process that may be started more than once; its log has the words of every start."""

    def __init__(self, spec: ProcessSpec, log: Path) -> None:
        """Start it; its log begins anew."""
        self.spec = spec
        self.log = log
        self._address: str | None = None
        log.write_bytes(b"")
        self.start()

    def start(self) -> None:
        """Start it, again too; to be called by a thread that lives as long as it may."""
        argv, env = list(self.spec.argv), {**os.environ, **self.spec.env}
        if self.spec.port_by and self._address is not None:
            port = self._address.rpartition(":")[2]
            if self.spec.port_by.startswith("--"):
                argv += [self.spec.port_by, port]
            else:
                env[self.spec.port_by] = port
        with self.log.open("ab") as stream:
            self._said_before = stream.tell()
            self._process: subprocess.Popen[bytes] = subprocess.Popen(
                argv,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                # Its own session, so that Ctrl-C reaches this process only, which ends it in order.
                start_new_session=True,
                preexec_fn=partial(  # noqa: PLW1509 - system calls only
                    begin, self.spec.endings[0], os.getpid(), self.spec.niceness
                ),
                **self.spec.options,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Check whether it has not ended."""
        return self._process.poll() is None

    def is_ready(self) -> bool:
        """Check whether it does its work since its last start."""
        if self.spec.probe is not None:
            return self.spec.probe(self.pid)
        if self.spec.server is None:
            return True
        found = find_address(self._said(self._said_before), self.spec.server)
        if found is not None:
            self._address = found
        return found is not None

    def address(self) -> str | None:
        """Where it listens, or will again once it is back; None: it has not said so yet."""
        if self._address is None and self.spec.server is not None:
            self.is_ready()
        return self._address

    def has_succeeded(self) -> bool:
        """Check whether it has ended with status 0."""
        return self._process.returncode == 0

    def ending(self) -> str:
        """How it ended, with its last words where it ended by itself."""
        status = self._process.returncode
        if status < 0:
            return f"was killed by {signal.Signals(-status).name}"
        return f"ended with status {status}: {self.last_line()}"

    def last_line(self) -> str:
        """The last line of its log."""
        lines = self._said(-_TAIL_BYTES).strip().splitlines()
        return lines[-1][:300] if lines else "no output"

    def _said(self, start: int) -> str:
        """Its log from a byte on; below 0: counted from the end."""
        try:
            with self.log.open("rb") as stream:
                size = stream.seek(0, os.SEEK_END)
                stream.seek(start if start >= 0 else max(0, size + start))
                return stream.read().decode(errors="replace")
        except FileNotFoundError:  # removed by hand: the process is as well as before
            return ""

    def bound_log(self) -> None:
        """Once its log is long, begin it anew; what it has said goes to a file beside it.

        The process appends, so it writes on at the new end.
        """
        try:
            if self.log.stat().st_size < MOST_LOG_BYTES:
                return
            before = self.log.with_name(f"{self.log.name}.1")
            before.unlink(missing_ok=True)  # first: there may be no room for both
            shutil.copyfile(self.log, before)
        except FileNotFoundError:  # removed by hand
            return
        except OSError:  # no room: better without old lines than without a database
            pass
        with suppress(OSError):
            os.truncate(self.log, 0)
            self._said_before = 0

    def send(self, word: signal.Signals) -> None:
        """Send it a signal, if it lives."""
        if self.is_alive():
            self._process.send_signal(word)

    def wait(self, timeout_s: float) -> bool:
        """Wait for its end; False: it lives on."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """End it and what it has started, at once."""
        kill_session(self.pid)
        self._process.wait()


def kill_session(pid: int) -> None:
    """Kill all that a leader of a session has started and that has stayed in its group."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
