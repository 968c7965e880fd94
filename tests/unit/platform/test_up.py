"""How `harmony up` waits, and how it is found by other commands."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from services.kernel.settings import Settings
from services.platform.platform import Platform
from services.platform.processes import Supervisor
from services.platform.stop_signals import ending_on_signals
from services.platform.up import RUNNING_FILE, announced, wait_until_stopped


@pytest.mark.parametrize("word", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_watches_until_it_is_stopped(word: signal.Signals) -> None:
    inherited = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # these tests may run under `nohup`
    looks: list[int] = []

    def watch() -> None:
        looks.append(1)
        if len(looks) == 2:
            signal.raise_signal(word)

    try:
        with ending_on_signals():
            wait_until_stopped(watch)
    finally:
        signal.signal(signal.SIGHUP, inherited)
    assert len(looks) == 2


@pytest.mark.parametrize("word", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_once_it_says_so_a_stop_is_taken_in_order(word: signal.Signals) -> None:
    inherited = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    looks: list[int] = []
    try:
        with ending_on_signals():
            wait_until_stopped(lambda: looks.append(1), lambda: signal.raise_signal(word))
    finally:
        signal.signal(signal.SIGHUP, inherited)
    assert looks == []


def test_it_is_found_while_it_runs(tmp_path: Path) -> None:
    settings = Settings(
        database_url="postgresql://one/two", redis_url="redis://three/0", clock="replay", step_s=600
    )
    with Supervisor(tmp_path) as supervisor:
        with announced(Platform(settings, supervisor, tmp_path)):
            found = json.loads((tmp_path / RUNNING_FILE).read_text())
        urls = {"database_url": "postgresql://one/two", "redis_url": "redis://three/0"}
        assert found == urls | {"clock": "replay", "step_s": 600}
        assert not (tmp_path / RUNNING_FILE).exists()


def test_who_else_is_on_the_machine_does_not_read_the_password_of_the_database(
    tmp_path: Path,
) -> None:
    settings = Settings(
        database_url="postgresql://harmony:secret@db/harmony", redis_url="redis://r"
    )
    with Supervisor(tmp_path) as supervisor:
        with announced(Platform(settings, supervisor, tmp_path)):
            file = tmp_path / RUNNING_FILE
            assert "secret" in file.read_text()
            assert file.stat().st_mode & 0o077 == 0
        assert [path for path in tmp_path.iterdir() if "running" in path.name] == []
