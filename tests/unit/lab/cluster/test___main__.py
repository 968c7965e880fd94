"""The command: files for those who wait, wrong options, a clean end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest
import yaml

from services.lab.cluster.__main__ import main


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--nodes", "H100"], "TYPE=NODESxGPUS"),
        (["--start", "2026-01-05T00:00:00Z"], "--clock lab"),
        (["--clock", "lab", "--start", "2026-01-05T00:00:00"], "time zone"),
    ],
)
def test_wrong_options_end_in_one_line_and_code_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr().err
    assert said in printed
    assert printed.count("\n") == 1


def test_a_port_in_use_ends_in_one_line_and_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["--port", str(taken.getsockname()[1])]) == 2
    assert "address already in use" in capsys.readouterr().err


def test_it_serves_in_real_time_and_ends_within_two_seconds_with_a_watch_open(
    tmp_path: Path,
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    command = [sys.executable, "-m", "services.lab.cluster", "--nodes", "H100=1x8"]
    process = subprocess.Popen(
        [*command, "--kubeconfig-out", str(kubeconfig), "--port-file", str(tmp_path / "port")],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[4],
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline().decode()
        url = yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
        assert url in line
        assert url.endswith(f":{(tmp_path / 'port').read_text().strip()}")
        with urllib.request.urlopen(f"{url}/api/v1/nodes", timeout=10) as answer:
            (node,) = json.load(answer)["items"]
        assert node["status"]["allocatable"]["nvidia.com/gpu"] == "8"
        ended = threading.Event()
        opened = threading.Event()

        def watch() -> None:
            with urllib.request.urlopen(f"{url}/api/v1/nodes?watch=true", timeout=30) as stream:
                stream.readline()
                opened.set()
                stream.read()
                ended.set()

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        assert opened.wait(10)
        process.send_signal(signal.SIGTERM)
        assert process.wait(2) == 0
        assert ended.wait(2)
        thread.join()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
