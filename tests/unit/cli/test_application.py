"""Commands print what they do, so they log warnings only unless a level is set."""

from __future__ import annotations

from importlib import metadata

import pytest
import typer
from typer.testing import CliRunner

from services.cli import application
from services.cli.kubectl import application as plugin
from services.kernel.errors import Unavailable
from services.kernel.settings import get_settings


@pytest.mark.parametrize(
    ("given", "level"), [(None, "WARNING"), ("INFO", "INFO"), ("DEBUG", "DEBUG")]
)
def test_commands_log_warnings_unless_a_level_is_set(
    monkeypatch: pytest.MonkeyPatch, given: str | None, level: str
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(application, "configure_logging", lambda level, _: asked.append(level))
    monkeypatch.setattr("sys.argv", ["harmony", "--help"])
    monkeypatch.delenv("HARMONY_LOG_LEVEL", raising=False)
    if given is not None:
        monkeypatch.setenv("HARMONY_LOG_LEVEL", given)
    get_settings.cache_clear()
    try:
        with pytest.raises(SystemExit):
            application.main()
    finally:
        get_settings.cache_clear()
    assert asked == [level]


def test_an_error_of_several_lines_is_told_on_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a Prometheus answers to a query that it cannot read."""

    def fail(**_: object) -> None:
        raise Unavailable("server answers 400: parse error\n\tat line 2:\r\n  \x1b[2Junexpected")

    monkeypatch.setattr(application, "app", fail)
    with pytest.raises(SystemExit) as ended:
        application.main()
    said = "harmony: server answers 400: parse error at line 2: ?[2Junexpected\n"
    assert (ended.value.code, capsys.readouterr().err) == (2, said)


@pytest.mark.parametrize("program", [application.app, plugin.app])
def test_a_program_tells_its_version_and_its_help(program: typer.Typer) -> None:
    version = CliRunner().invoke(program, ["--version"])
    assert (version.exit_code, version.output) == (
        0,
        f"harmony {metadata.version('harmony-gpu')}\n",
    )
    short, long = (CliRunner().invoke(program, [name]) for name in ("-h", "--help"))
    assert (short.exit_code, short.output) == (0, long.output)
    assert "Commands:" in short.output
    assert CliRunner().invoke(program, ["explain", "-h"]).exit_code == 0


def test_help_is_wrapped_once() -> None:
    """A paragraph of a docstring flows: no line ends early where the source's line did."""
    shown = CliRunner().invoke(application.app, ["backtest", "-h"]).output
    paragraph = shown[shown.index("Trains and tunes") : shown.index("Then it runs")]
    *lines, _last = paragraph.strip().splitlines()
    assert all(len(line) > 60 for line in lines)
