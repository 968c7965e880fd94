"""A server that is told to stop answers what it has begun and ends with status 0."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.request

import pytest

PROGRAM = """
import socket, sys, uvicorn
from services.kernel.http.serving import serve_until_stopped

async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"here"})

with socket.create_server(("127.0.0.1", 0)) as listener:
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(app, log_config=None, lifespan=sys.argv[1])
    serve_until_stopped(config, listener)
print("cleaned up")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_is_no_failure(number: signal.Signals) -> None:
    command = [sys.executable, "-c", PROGRAM, "off"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    port = process.stdout.readline().strip()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as answer:
        assert answer.read() == b"here"
    process.send_signal(number)
    left, _ = process.communicate(timeout=60)
    assert (process.returncode, left) == (0, "cleaned up\n")


def test_an_application_that_does_not_start_is_one() -> None:
    command = [sys.executable, "-c", PROGRAM, "on"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 3
    assert "cleaned up" not in done.stdout
