"""The push token that a local platform draws, and its file."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from services.kernel.errors import ConfigurationError
from services.platform.push_token import TOKEN_FILE, kept_token


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_it_is_drawn_once_and_its_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "up"
    token = kept_token(folder)
    file = folder / TOKEN_FILE
    assert len(token) >= 40
    assert file.read_text() == f"{token}\n"
    assert mode(file) == 0o600
    assert kept_token(folder) == token
    assert kept_token(tmp_path / "other") != token


def test_a_file_that_others_can_read_is_closed(tmp_path: Path) -> None:
    file = tmp_path / TOKEN_FILE
    file.write_text("given by hand\n")
    file.chmod(0o644)
    assert kept_token(tmp_path) == "given by hand"
    assert mode(file) == 0o600


def test_an_empty_file_gets_a_token(tmp_path: Path) -> None:
    (tmp_path / TOKEN_FILE).write_text("\n")
    token = kept_token(tmp_path)
    assert (tmp_path / TOKEN_FILE).read_text() == f"{token}\n"


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("x")
    (tmp_path / TOKEN_FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match=r"push-token: .*HARMONY_PUSH_TOKEN"):
        kept_token(tmp_path)
    binary = tmp_path / "binary"
    binary.mkdir()
    (binary / TOKEN_FILE).write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="push-token"):
        kept_token(binary)
