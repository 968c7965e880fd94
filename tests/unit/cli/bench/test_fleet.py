"""Options of `harmony bench fleet` that are refused before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli.application import app


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--sweep", "100,many"], "--sweep=100,many: must be whole numbers"),
        (["--days", "0"], "--days=0: must be numbers of at least 1"),
        (["--kill"], "--kill: goes with --overload"),
        (["--from", "/nowhere.json"], "/nowhere.json: cannot be read as JSON"),
    ],
)
def test_what_contradicts_itself_is_refused(options: list[str], words: str) -> None:
    result = CliRunner().invoke(app, ["bench", "fleet", *options])
    assert result.exit_code != 0
    assert words in str(result.exception)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    file.write_text('{"points": [{"cells": 3}]}')
    result = CliRunner().invoke(app, ["bench", "fleet", "--from", str(file)])
    assert "has no figures of `harmony bench fleet --json`" in str(result.exception)
