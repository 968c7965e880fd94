"""Documents for machines and tables for people."""

from __future__ import annotations

import json
import unicodedata
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from rich.panel import Panel
from rich.progress import Progress, TextColumn
from rich.text import Text
from typer.testing import CliRunner

from services.cli.application import app
from services.cli.output import (
    console,
    folder,
    named,
    picture,
    print_json,
    print_table,
    writable,
    write_json,
)
from services.cli.study_commands import JsonFile
from services.kernel.errors import InvalidInput
from tests.unit.kernel.full_disk import full_disk


def context() -> Any:
    """Of a command that claims no other file."""
    return SimpleNamespace(meta={})


def test_a_document_holds_times_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"at": datetime(2026, 1, 5, tzinfo=UTC), "day": date(2026, 1, 5)})
    printed = json.loads(capsys.readouterr().out)
    assert printed == {"at": "2026-01-05T00:00:00+00:00", "day": "2026-01-05"}


def test_what_is_not_known_is_null(tmp_path: Path) -> None:
    """JSON knows no NaN, and whoever reads the file need not either."""
    file = tmp_path / "found.json"
    write_json(file, {"rates": [0.5, float("nan")]})
    assert "NaN" not in file.read_text()
    assert json.loads(file.read_text()) == {"rates": [0.5, None]}


def test_a_document_goes_where_it_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "deep" / "found.json"
    write_json(file, {"n": 1})
    assert json.loads(file.read_text()) == {"n": 1}
    write_json(None, {"n": 2})
    assert capsys.readouterr().out == ""
    write_json(Path("-"), {"n": 3})
    assert json.loads(capsys.readouterr().out) == {"n": 3}


def test_stored_text_is_shown_as_it_is() -> None:
    names = ["[/]", "[link=http://evil.example]grafana[/link]", ":smile:"]
    with console.capture() as capture:
        print_table("Keys of [/oops]", [{"name": name} for name in names])
        console.print("key [/] is revoked")
    printed = capture.get()
    for shown in (*names, "Keys of [/oops]", "key [/] is revoked"):
        assert shown in printed


def test_stored_text_moves_no_terminal() -> None:
    hostile = "a\x1b[2J\x1b]8;;http://evil.example\x07b\x9b1;1H\u202ec\td\r\x7f"
    with console.capture() as capture:
        print_table(hostile, [{hostile: hostile}])
        console.print(Text(hostile))
        console.print(hostile, soft_wrap=True)
        console.print(Panel(hostile, title=Text(hostile)))
    printed = capture.get()
    odd = [char for char in printed if unicodedata.category(char) in ("Cc", "Cf")]
    assert set(odd) == {"\n"}
    assert "a?[2J?]8;;http://evil.example?b?1;1H?c" in printed


def test_a_changing_line_moves_no_terminal() -> None:
    with (
        console.capture() as capture,
        Progress(TextColumn("{task.description}", markup=False), console=console) as shown,
    ):
        shown.add_task("reading [/] a\x9b2J\x1b[2Jb")
    assert "reading [/] a?2J?[" in capture.get()


def test_a_table_has_the_columns_of_its_first_row() -> None:
    with console.capture() as capture:
        print_table("Models", [{"version": "flow-3", "age": None}])
        print_table("Keys", [])
    printed = capture.get()
    assert "version" in printed
    assert "flow-3" in printed
    assert "Keys: nothing yet" in printed


@pytest.mark.parametrize(
    "command",
    [
        ["backtest", "x.csv", "--json"],
        ["backtest", "x.csv", "--plot"],
        ["backtest", "x.csv", "--report"],
        ["demo", "--json"],
        ["demo", "--report"],
        ["bench", "month", "--json"],
        ["bench", "month", "--plot"],
        ["bench", "fleet", "--json"],
        ["bench", "fleet", "--plot"],
        ["bench", "operator", "--json"],
        ["bench", "ablate", "--data", "x.parquet", "--json"],
        ["bench", "forecast", "--data", "x.parquet", "--plot"],
        ["bench", "decide", "--data", "x.parquet", "--plot"],
        ["bench", "llm", "--plot"],
        ["bench", "supply", "--plot"],
        ["models", "train", "--data", "x.parquet", "--out"],
    ],
)
def test_a_file_is_seen_to_be_writable_before_the_work(command: list[str], tmp_path: Path) -> None:
    for place, said in (("", "is a folder"), ("file/below", "cannot be written")):
        (tmp_path / "file").touch()
        with pytest.raises(InvalidInput, match=f"^{command[-1]}=.*: {said}"):
            CliRunner().invoke(app, [*command, str(tmp_path / place)], catch_exceptions=False)


def test_stdout_and_new_folders_are_fine(tmp_path: Path) -> None:
    param: Any = SimpleNamespace(opts=["--json"])
    for path in (None, Path("-"), tmp_path / "new" / "folder" / "x.json"):
        assert writable(context(), param, path) == path


def test_where_nothing_can_be_written_is_seen_also_by_root() -> None:
    param: Any = SimpleNamespace(opts=["--json"])
    with pytest.raises(InvalidInput, match=r"^--json=/proc/x.json: cannot be written, /proc does"):
        writable(context(), param, Path("/proc/x.json"))


def test_to_try_leaves_nothing_and_changes_nothing(tmp_path: Path) -> None:
    param: Any = SimpleNamespace(opts=["--json"])
    there = tmp_path / "there.json"
    there.write_text("{}")
    before = there.stat().st_mtime_ns
    assert writable(context(), param, there) == there
    assert writable(context(), param, tmp_path / "new.json") == tmp_path / "new.json"
    assert writable(context(), param, Path("/dev/null")) == Path("/dev/null")
    assert [path.name for path in tmp_path.iterdir()] == ["there.json"]
    assert (there.read_text(), there.stat().st_mtime_ns) == ("{}", before)


def test_a_picture_is_of_a_kind_that_can_be_drawn(tmp_path: Path) -> None:
    param: Any = SimpleNamespace(opts=["--plot"])
    with pytest.raises(InvalidInput, match=r"^--plot=.*x\.nope: its name must end in one of \.png"):
        picture(context(), param, tmp_path / "x.nope")
    for path in (None, tmp_path / "x.png", tmp_path / "x.SVG"):
        assert picture(context(), param, path) == path


@pytest.mark.parametrize(
    "command", [["bench", "supply"], ["bench", "llm"], ["bench", "fleet"], ["backtest", "x.csv"]]
)
def test_the_kind_of_a_picture_is_seen_before_the_work(command: list[str], tmp_path: Path) -> None:
    arguments = [*command, "--plot", str(tmp_path / "x.nope")]
    with pytest.raises(InvalidInput, match=r"^--plot=.*x\.nope: its name must end in one of"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_a_document_that_cannot_be_written_to_its_end_leaves_the_old_one(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    write_json(file, {"n": 1})
    with full_disk(), pytest.raises(InvalidInput, match=r"figures\.json: cannot be written"):
        write_json(file, {"n": "x" * 10_000})
    assert json.loads(file.read_text()) == {"n": 1}


def test_a_document_on_stdout_stays_alone() -> None:
    """What is said to people goes to stderr then, and to stdout again with the next command."""
    small = typer.Typer()

    @small.command()
    def measure(json_file: JsonFile = None) -> None:
        console.print("left out: w9")
        print_table("Found", [{"figure": 1}])
        write_json(json_file, {"n": 1})

    asked = CliRunner().invoke(small, ["--json", "-"])
    assert json.loads(asked.stdout) == {"n": 1}
    assert "left out: w9" in asked.stderr
    assert "Found" in asked.stderr
    unasked = CliRunner().invoke(small, [])
    assert "Found" in unasked.stdout
    assert unasked.stderr == ""


@pytest.mark.parametrize(
    "command",
    [
        ["backtest", "x.csv", "--report"],
        ["demo", "--json"],
        ["demo", "--report"],
        ["advise", "--html"],
        ["audit", "check", "--anchor-file"],
        ["bench", "ablate", "--data", "x.parquet", "--json"],
        ["models", "train", "--data", "x.parquet", "--out"],
    ],
)
def test_what_never_goes_to_stdout_makes_no_file_named_so(command: list[str]) -> None:
    with pytest.raises(InvalidInput, match=f"^{command[-1]}=-: cannot go to stdout; name a file"):
        CliRunner().invoke(app, [*command, "-"], catch_exceptions=False)


def test_a_file_by_name_is_seen_to_be_writable(tmp_path: Path) -> None:
    param: Any = SimpleNamespace(opts=["--html"])
    for path in (None, tmp_path / "x.html"):
        assert named(context(), param, path) == path


@pytest.mark.parametrize(
    "command",
    [
        ["bench", "llm", "--keep"],
        ["bench", "race", "--data", "x.parquet", "--keep"],
        ["bench", "loads", "--data", "x.parquet", "--keep"],
        ["bench", "faults", "--logs"],
        ["bench", "ablate-tails", "--data", "x.parquet", "--models"],
    ],
)
def test_a_folder_is_seen_to_be_one_before_the_work(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place, said in (("file", "is no folder"), ("file/below", "cannot be written")):
        with pytest.raises(InvalidInput, match=f"^{command[-1]}=.*: {said}"):
            CliRunner().invoke(app, [*command, str(tmp_path / place)], catch_exceptions=False)


def test_a_folder_may_be_there_or_be_made(tmp_path: Path) -> None:
    param: Any = SimpleNamespace(opts=["--keep"])
    for path in (None, tmp_path, tmp_path / "new" / "folder"):
        assert folder(context(), param, path) == path
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_takes_no_file_is_refused_before_the_work() -> None:
    param: Any = SimpleNamespace(opts=["--keep"])
    with pytest.raises(InvalidInput, match=r"^--keep=/proc: takes no file"):
        folder(context(), param, Path("/proc"))


def test_the_file_of_a_table_is_seen_to_be_writable_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"^file=.*: is a folder"):
        CliRunner().invoke(app, ["bench", "response-table", str(tmp_path)], catch_exceptions=False)


def test_a_small_figure_is_written_out_and_none_is_a_dash() -> None:
    """`1e-05` is no share that anybody reads, and what is not known is no number."""
    row = {"small": 0.00001, "raw": 0.0023423423, "usual": 0.25, "whole": 3, "none": float("nan")}
    with console.capture() as capture:
        print_table("Figures", [row])
    (line,) = [line for line in capture.get().splitlines() if "0.25" in line]
    assert [cell.strip() for cell in line.strip("│").split("│")] == [
        "0.00001",
        "0.002342",
        "0.25",
        "3",
        "–",
    ]
