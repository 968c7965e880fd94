"""No command writes over what it reads, nor twice to one file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli.application import app
from services.kernel.errors import InvalidInput

ROWS = "ts,rps\n2026-01-05,1\n2026-01-06,2\n"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "own.csv"
    file.write_text(ROWS)
    return file


def refuse(match: str, *command: str) -> None:
    with pytest.raises(InvalidInput, match=match) as caught:
        CliRunner().invoke(app, [*command], catch_exceptions=False)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("option", ["--json", "--report"])
@pytest.mark.parametrize("is_first", [True, False])
def test_the_file_that_is_read_stays(own: Path, option: str, is_first: bool) -> None:
    words = ("own.csv", option, "own.csv") if is_first else (option, "own.csv", "own.csv")
    refuse(f"^{option}=own.csv: is the file that is read", "backtest", *words)
    assert own.read_text() == ROWS


@pytest.mark.parametrize(
    "command",
    [
        ["demo", "--data", "own.csv", "--json"],
        ["models", "train", "--data", "own.csv", "--out"],
        ["bench", "ablate", "--data", "own.csv", "--json"],
        ["bench", "decide", "--data", "other.parquet", "--data", "own.csv", "--json"],
        ["bench", "race", "--data", "own.csv", "--json"],
        ["bench", "decide-summary", "other.json", "own.csv", "--json"],
        ["bench", "forecast-summary", "own.csv", "--json"],
        ["bench", "fleet", "--from", "own.csv", "--json"],
        ["bench", "month", "--data", "own.csv", "--json"],
    ],
)
@pytest.mark.usefixtures("own")
def test_every_command_that_reads_a_file_keeps_it(command: list[str]) -> None:
    refuse(f"^{command[-1]}=own.csv: is the file that is read", *command, "own.csv")


@pytest.mark.usefixtures("own")
def test_the_metadata_beside_a_file_stay() -> None:
    refuse(
        r"^--json=own\.json: is read as the metadata of own\.csv; name another file",
        *("backtest", "own.csv", "--json", "own.json"),
    )


@pytest.mark.parametrize("kind", ["symbolic link", "hard link", "another spelling"])
def test_another_name_of_the_file_is_the_file(own: Path, kind: str) -> None:
    other = own.with_name("other.csv")
    if kind == "symbolic link":
        other.symlink_to(own)
    elif kind == "hard link":
        os.link(own, other)
    else:
        other = own.parent / "." / ".." / own.parent.name / "own.csv"
    refuse("is the file that is read", "backtest", "own.csv", "--json", str(other))


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["backtest", "x.csv", "--report", "page", "--json", "page"], "--report|--json"),
        (["advise", "--json", "page", "--csv", "page"], "--json|--csv"),
        (["showback", "--json", "page", "--csv", "page"], "--json|--csv"),
        (["demo", "--json", "out/report.html"], "--json|--report"),
    ],
)
@pytest.mark.usefixtures("own")
def test_two_options_do_not_write_to_one_file(command: list[str], said: str) -> None:
    refuse(f"^({said})=.*: is the file of ({said}) too", *command)


@pytest.mark.usefixtures("own")
def test_what_keeps_nothing_may_be_named_twice() -> None:
    """The files are fine, so the name of a file that is not there is what is told."""
    words = ("--json", "/dev/null", "--report", "/dev/null")
    refuse("^no file at gone.csv", "backtest", "gone.csv", *words)
