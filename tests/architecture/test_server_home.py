"""The tests' servers in memory: where there is room, and without what killed runs left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests import server_home
from tests.server_home import drop_leftovers, folder_in_memory


def test_a_folder_that_goes_with_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_home, "LEAST_FREE_BYTES", 0)
    with folder_in_memory(tmp_path) as folder:
        assert folder is not None
        (folder / "file").write_text("x")
    assert list(tmp_path.iterdir()) == []


def test_without_room_the_disk_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_home, "LEAST_FREE_BYTES", 2**62)
    with folder_in_memory(tmp_path) as folder:
        assert folder is None
    with folder_in_memory(tmp_path / "missing") as folder:
        assert folder is None


def test_what_killed_runs_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    names = (f"harmony-tests-{2**22 + 1}-a", f"harmony-tests-{os.getpid()}-b", "somebody-else")
    for name in names:
        (tmp_path / name).mkdir()
    drop_leftovers(tmp_path)
    assert {folder.name for folder in tmp_path.iterdir()} == set(names[1:])
