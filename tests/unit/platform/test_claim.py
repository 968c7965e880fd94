"""One process uses a folder; what a killed one left is ended, and nothing else is."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from services.kernel.errors import Unavailable
from services.platform.claim import FolderClaim

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "print('up', flush=True); time.sleep(600)"
)


@pytest.fixture
def left() -> Iterator[subprocess.Popen[bytes]]:
    """A process that nobody looks after."""
    process = subprocess.Popen(
        [sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    yield process
    process.kill()
    process.communicate()


def write_record(folder: Path, pid: int, started: float, *folders: Path) -> None:
    line = {"name": "one", "pid": pid, "started": started, "ending": int(signal.SIGTERM)}
    record = {"processes": [line], "folders": [str(one) for one in folders]}
    (folder / "processes.json").write_text(json.dumps(record))


def test_a_folder_has_one_user_at_a_time(tmp_path: Path) -> None:
    first = FolderClaim(tmp_path)
    with pytest.raises(Unavailable, match=r"is in use by process \d+; end it, or set HARMONY_HOME"):
        FolderClaim(tmp_path)
    first.release()
    FolderClaim(tmp_path).release()


def test_what_a_killed_user_left_is_ended(
    tmp_path: Path, left: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.platform.claim._LEFTOVER_TIMEOUT_S", 0.2)
    scratch, precious = tmp_path / "harmony-x1", tmp_path / "precious"
    scratch.mkdir()
    precious.mkdir()
    started = psutil.Process(left.pid).create_time()
    write_record(tmp_path, left.pid, started, scratch, precious)
    FolderClaim(tmp_path).release()
    assert not psutil.pid_exists(left.pid), "it was asked, did not listen, and was killed"
    assert not scratch.exists()
    assert precious.exists(), "only temporary folders go"


def test_a_process_that_has_the_id_by_chance_lives_on(
    tmp_path: Path, left: subprocess.Popen[bytes]
) -> None:
    write_record(tmp_path, left.pid, psutil.Process(left.pid).create_time() - 3600)
    FolderClaim(tmp_path).release()
    assert left.poll() is None
    assert not (tmp_path / "processes.json").exists()


def test_scratch_folders_end_with_the_claim(tmp_path: Path) -> None:
    claim = FolderClaim(tmp_path)
    inside, elsewhere = claim.scratch(tmp_path), claim.scratch()
    assert inside.parent == tmp_path
    claim.note([])
    assert json.loads((tmp_path / "processes.json").read_text())["folders"] == [
        str(inside),
        str(elsewhere),
    ]
    claim.release()
    assert not inside.exists()
    assert not elsewhere.exists()


def test_what_cannot_be_removed_in_time_is_left_to_the_next_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = FolderClaim(tmp_path)
    scratch = claim.scratch(tmp_path)
    (scratch / "part").mkdir()
    (scratch / "part" / "file").write_text("half")
    monkeypatch.setattr("services.platform.claim._REMOVAL_S", -1.0)
    claim.release()
    assert (scratch / "part" / "file").exists()
    monkeypatch.undo()
    again = FolderClaim(tmp_path)
    assert not scratch.exists()
    again.release()
    assert not (tmp_path / "processes.json").exists()


@pytest.mark.parametrize(
    "left", ["", '{"processes": [{"pid', "[]", '{"processes": [7], "folders": []}']
)
def test_a_record_that_cannot_be_read_keeps_nobody_from_starting(tmp_path: Path, left: str) -> None:
    """As a machine that lost its power leaves it."""
    (tmp_path / "processes.json").write_text(left)
    FolderClaim(tmp_path).release()
    assert not (tmp_path / "processes.json").exists()
