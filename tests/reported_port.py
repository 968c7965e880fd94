"""The port that a process took by itself, as it says on its stdout."""

from __future__ import annotations

import subprocess

from services.kernel.listening import find_address


def reported_port(process: subprocess.Popen[str], server: str) -> int:
    """Wait for the line of `server` on the process's stdout, a pipe of text; the port in it.

    Lines before it are read and dropped. A process that says nothing is ended by the test's limit.
    """
    assert process.stdout is not None
    for line in process.stdout:
        address = find_address(line, server)
        if address is not None:
            return int(address.rpartition(":")[2])
    raise AssertionError(f"status {process.wait()}, and no word of where {server} listens")
