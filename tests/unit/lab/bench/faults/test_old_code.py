"""The code that an upgrade begins with: a folder, a revision, or none."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.kernel.errors import InvalidInput, Unavailable
from services.lab.bench.faults import old_code as module
from services.lab.bench.faults.old_code import CodeFolder, old_code
from services.platform.child import ProcessSpec


def test_a_process_is_run_by_the_code_of_a_folder(tmp_path: Path) -> None:
    spec = ProcessSpec("beat", ["python"], {"A": "1"}, options={"user": 7})
    found = CodeFolder(tmp_path, "old").runs(spec)
    assert found.env == {"A": "1", "PYTHONPATH": str(tmp_path)}
    assert found.options == {"user": 7, "cwd": str(tmp_path)}


def test_a_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "services").mkdir()
    found = old_code(str(tmp_path), tmp_path / "into")
    assert found == CodeFolder(tmp_path, str(tmp_path))
    assert not (tmp_path / "into").exists()


def test_what_is_neither_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="--old=nobodys-revision"):
        old_code("nobodys-revision", tmp_path / "into")


def test_without_a_repository_there_is_no_other_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ROOT", tmp_path)
    assert old_code(None, tmp_path / "into") is None


def test_code_that_makes_no_schema_is_told_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="the code of old cannot make its schema: "):
        CodeFolder(tmp_path, "old").prepare("postgresql://nobody@127.0.0.1:1/none")
