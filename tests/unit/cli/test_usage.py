"""A wrong command line is one line that names option, value and rule, with status 2."""

from __future__ import annotations

import pytest

from services.cli import application
from services.cli.kubectl import application as plugin


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> str:
    """What `harmony` says on stderr to a command line that it refuses."""
    monkeypatch.setattr("sys.argv", ["harmony", *arguments])
    with pytest.raises(SystemExit) as ended:
        application.main()
    assert ended.value.code == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    return shown.err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ("backtest", "m.csv", "--step", "0"),
            "harmony: --step=0: must be at least 1 (see `harmony backtest --help`)",
        ),
        (
            ("backtest", "m.csv", "--step=soon"),
            "harmony: --step=soon: must be a whole number (see `harmony backtest --help`)",
        ),
        (
            ("up", "--port", "99999"),
            "harmony: --port=99999: must be at most 65535",
        ),
        (
            ("keys", "create", "x", "--role", "king"),
            "harmony: --role=king: 'king' is not one of 'viewer'",
        ),
        (("dmo",), "harmony: No such command 'dmo'. Did you mean 'demo'? (see `harmony --help`)"),
        (("backtest", "--risks", "1"), "harmony: No such option: --risks"),
        (("replay",), "harmony: Missing argument"),
        (("replay", "x"), "harmony: Invalid value for 'decision': must be a whole number (see"),
        (("backtest", "--step"), "harmony: Option '--step' requires an argument"),
    ],
)
def test_it_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    line: str,
) -> None:
    said = run(monkeypatch, capsys, *arguments)
    assert said.startswith(line)
    assert said.count("\n") == 1
    assert "Input should" not in said


def test_a_group_without_a_command_shows_its_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = run(monkeypatch, capsys, "models")
    assert said.startswith("Usage: harmony models")
    assert "Commands:" in said


def test_a_command_that_ends_with_a_status_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["harmony", "presets", "list"])
    with pytest.raises(SystemExit) as ended:
        application.main()
    assert ended.value.code == 0


def test_the_plugin_says_it_in_the_same_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert plugin.main(["history", "llama", "--limit", "0"]) == 2
    said = capsys.readouterr().err
    assert said == (
        "kubectl harmony: --limit=0: must be at least 1 (see `kubectl harmony history --help`)\n"
    )
