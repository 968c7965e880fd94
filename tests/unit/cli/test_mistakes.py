"""Mistakes of a first hour that were answered badly once: by a traceback, or with a wrong name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner

from services.cli import connection
from services.cli.application import app, misspelt
from services.cli.connection import RUNNING_FILE, connected_settings
from services.kernel.errors import InvalidInput, Unavailable
from services.kernel.settings import Settings


def test_a_folder_holds_no_anchor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInput, match=r"^--anchor-file=.*: is a folder"):
        CliRunner().invoke(
            app, ["audit", "check", "--anchor-file", str(tmp_path)], catch_exceptions=False
        )


def test_an_anchor_that_cannot_be_read_or_kept_is_named(tmp_path: Path) -> None:
    spoilt = tmp_path / "anchor"
    spoilt.write_bytes(b"\xff\xfe\x00")
    for path, words in ((spoilt, "cannot be read"), (spoilt / "below", "cannot be written")):
        with pytest.raises(InvalidInput, match=rf"^--anchor-file=.*: {words}"):
            CliRunner().invoke(
                app, ["audit", "check", "--anchor-file", str(path)], catch_exceptions=False
            )


def test_a_pool_is_one_of_two() -> None:
    result = CliRunner().invoke(app, ["worker", "--pool", "magic"])
    assert result.exit_code == 2
    assert "'solo', 'prefork'" in result.output


@pytest.mark.parametrize(
    "command", [["backtest", "mine.csv"], ["demo"], ["advise"], ["models", "train"]]
)
def test_a_seed_that_no_generator_takes_is_refused_before_the_work(command: list[str]) -> None:
    """A back-test ended in a traceback, after it had read the data and trained."""
    result = CliRunner().invoke(app, [*command, "--seed", str(2**31)])
    assert result.exit_code == 2
    assert "--seed" in result.output
    assert "less than or equal to 2147483647" in result.output


def test_a_time_that_is_none_is_told_the_right_form() -> None:
    with pytest.raises(InvalidInput, match=r"^--expires-at=tomorrow: must be .* 2027-01-01T00"):
        CliRunner().invoke(
            app, ["keys", "create", "me", "--expires-at", "tomorrow"], catch_exceptions=False
        )


def test_a_platform_that_was_killed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "up"
    folder.mkdir()
    urls = {"database_url": "postgresql://127.0.0.1:1/none", "redis_url": "redis://127.0.0.1:1"}
    (folder / RUNNING_FILE).write_text(json.dumps(urls))
    monkeypatch.setattr(connection, "get_settings", lambda: Settings(home=tmp_path))
    with pytest.raises(Unavailable, match=rf"`harmony up` in {folder} does not answer; start that"):
        connected_settings()


def test_a_platform_that_was_killed_does_not_hide_one_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("up", "demo"):
        (tmp_path / name).mkdir()
        urls = {"database_url": f"postgresql://127.0.0.1:1/{name}", "redis_url": "redis://none"}
        (tmp_path / name / RUNNING_FILE).write_text(json.dumps(urls))

    def check(engine: Engine) -> None:
        if engine.url.database == "up":
            raise Unavailable("it does not answer")

    monkeypatch.setattr(connection, "get_settings", lambda: Settings(home=tmp_path))
    monkeypatch.setattr(connection, "check_reachable", check)
    assert connected_settings().database_url == "postgresql://127.0.0.1:1/demo"


def test_a_running_demo_is_read_in_its_own_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its data are of another year: to a wall clock every decision of it is long over."""
    folder = tmp_path / "demo"
    folder.mkdir()
    urls = {"database_url": "postgresql://127.0.0.1:1/none", "redis_url": "redis://127.0.0.1:1"}
    running = urls | {"clock": "replay", "step_s": 600}
    (folder / RUNNING_FILE).write_text(json.dumps(running))
    monkeypatch.setattr(connection, "get_settings", lambda: Settings(home=tmp_path))
    monkeypatch.setattr(connection, "check_reachable", lambda _engine: None)
    found = connected_settings()
    assert (found.clock, found.step_s, found.redis_url) == ("replay", 600, urls["redis_url"])

    def told(**given: Any) -> tuple[str, int, str]:
        monkeypatch.setattr(connection, "get_settings", lambda: Settings(home=tmp_path, **given))
        found = connected_settings()
        return (found.clock, found.step_s, found.redis_url)

    same = urls["database_url"]
    assert told(database_url=same) == ("replay", 600, urls["redis_url"]), "as the demo prints it"
    assert told(database_url=same, step_s=60)[1] == 60, "what is set holds"
    assert told(database_url="postgresql://127.0.0.1:2/mine")[:2] == ("system", 60)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("HARMONY_STEPS_S", "HARMONY_STEP_S"), ("HARMONY_DATABSE_URL", "HARMONY_DATABASE_URL")],
)
def test_a_misspelt_setting_is_told(name: str, meant: str) -> None:
    (line,) = misspelt(["PATH", name])
    assert line.startswith(f"{name} is no setting")
    assert f"did you mean {meant}?" in line


def test_names_that_others_read_are_not_taken_for_misspelt() -> None:
    others = (
        *("HARMONY_URL", "HARMONY_KEY", "HARMONY_KEY_FILE", "HARMONY_CLUSTER", "HARMONY_ARENA"),
        *("HARMONY_DATA_DIR", "HARMONY_PUSH_TOKEN_FILE", "HARMONY_REMOTE_WRITE_RULES"),
    )
    assert misspelt(others) == []
