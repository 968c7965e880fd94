"""The lock has every package that Harmony needs, with hashes, at the version of the constraints."""

from __future__ import annotations

import re
from typing import Any

import pytest

from deploy.release import lock
from deploy.release.artifacts import REPOSITORY
from deploy.release.bill import closure, pinned

LOCKED = re.compile(
    r"^([a-z0-9-]+)==(\S+) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.M
)


def test_the_lock_agrees_with_the_constraints() -> None:
    text = (REPOSITORY / lock.LOCK).read_text()
    locked = {name: version for name, version, _ in LOCKED.findall(text)}
    assert "torch" not in locked
    assert len(locked) == text.count("==") > 100
    versions = pinned(REPOSITORY)
    wrong = {name: version for name, version in locked.items() if versions.get(name) != version}
    assert wrong == {}, "write it anew: python -m deploy.release lock"


def test_it_has_all_that_harmony_needs_when_it_runs() -> None:
    """What only development needs may be more on another Python."""
    text = (REPOSITORY / lock.LOCK).read_text()
    locked = {name for name, _, _ in LOCKED.findall(text)}
    needed = closure(()) & set(pinned(REPOSITORY)) - {"torch"}
    assert needed - locked == set()


def _file(name: str, digit: str) -> dict[str, Any]:
    return {"filename": name, "hashes": {"sha256": digit * 64}}


def test_files_of_the_version_for_our_machines_are_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    (tmp_path / "constraints.txt").write_text("Some.Name==1.2\n")
    monkeypatch.setattr(lock, "closure", lambda _: {"some-name", "torch"})
    files = [
        _file("some_name-1.2.tar.gz", "a"),
        _file("some_name-1.2-py3-none-any.whl", "b"),
        _file("some_name-1.2-cp311-cp311-manylinux_2_28_x86_64.whl", "c"),
        _file("some_name-1.2-cp311-cp311-win_amd64.whl", "d"),
        _file("some_name-1.2-cp27-cp27m-manylinux1_x86_64.whl", "e"),
        _file("some_name-1.2.1.tar.gz", "f"),
        _file("some_name-1.2-pp311-pypy311_pp73-manylinux_2_28_x86_64.whl", "0"),
    ]
    text = lock.make_lock(tmp_path, lambda _: {"files": files})
    ((name, version, hashes),) = LOCKED.findall(text)
    assert (name, version) == ("some-name", "1.2")
    assert re.findall(r"sha256:(.)", hashes) == ["a", "b", "c"]


def test_what_cannot_be_locked_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "constraints.txt").write_text("one==1\n")
    monkeypatch.setattr(lock, "closure", lambda _: {"one", "two"})
    with pytest.raises(ValueError, match=r"not in constraints.txt: two"):
        lock.make_lock(tmp_path, lambda _: {"files": []})
    monkeypatch.setattr(lock, "closure", lambda _: {"one"})
    with pytest.raises(ValueError, match="one 1: the index has no file of it"):
        lock.make_lock(tmp_path, lambda _: {"files": []})
