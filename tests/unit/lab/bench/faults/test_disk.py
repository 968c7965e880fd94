"""A disk that is filled and freed again: as a file system where that is allowed, or as a limit."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from services.lab.bench.faults import disk as module
from services.lab.bench.faults.disk import LIMIT_BYTES, BenchDisk


def test_a_disk_of_its_own_is_full_and_has_room_again(tmp_path: Path) -> None:
    with ExitStack() as stack:
        disk = BenchDisk(stack, tmp_path / "disk")
        if disk.kind != "tmpfs":
            pytest.skip("needs the right to mount")
        disk.fill(0)
        with pytest.raises(OSError, match="No space left"):
            (tmp_path / "disk" / "file").write_bytes(b"x" * 100_000)
        disk.free(0)
        (tmp_path / "disk" / "file").write_bytes(b"x" * 100_000)
    assert not (tmp_path / "disk" / "file").exists()


def test_without_the_right_to_mount_files_have_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.os, "geteuid", lambda: 1000)
    with (
        ExitStack() as stack,
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as server,
    ):
        disk = BenchDisk(stack, tmp_path)
        assert disk.kind == "limit"
        process = psutil.Process(server.pid)
        before = process.rlimit(psutil.RLIMIT_FSIZE)
        disk.fill(server.pid)
        assert process.rlimit(psutil.RLIMIT_FSIZE)[0] == LIMIT_BYTES
        disk.free(server.pid)
        assert process.rlimit(psutil.RLIMIT_FSIZE) == before
        server.communicate()
