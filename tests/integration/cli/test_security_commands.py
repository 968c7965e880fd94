"""`harmony keys` and `harmony audit check` on a real database."""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from services.cli.application import app
from services.kernel.clock import SystemClock
from services.kernel.errors import InvalidInput, NotFound
from services.kernel.security.keys import KeyVerifier, Role, RoleGrant, create_key
from services.kernel.settings import get_settings

pytestmark = pytest.mark.integration


class Harmony:
    """Runs `harmony …`."""

    def __call__(self, *arguments: str, status: int = 0) -> str:
        result = CliRunner().invoke(app, arguments)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == status, result.output
        return result.stdout

    def json(self, *arguments: str, status: int = 0) -> Any:
        lines = self(*arguments, "--json", status=status)
        return json.loads(lines[min(lines.index(c) for c in "[{" if c in lines) :])


@pytest.fixture
def harmony(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Harmony]:
    monkeypatch.setenv("HARMONY_DATABASE_URL", database_url)
    monkeypatch.setattr("services.kernel.security.audit.telemetry.get_logger", quiet)
    get_settings.cache_clear()
    yield Harmony()
    get_settings.cache_clear()


def quiet(name: str) -> Any:
    """The anchors that appending logs go to stderr, which the runner mixes into the output."""
    import structlog

    return structlog.wrap_logger(None, processors=[drop])


def drop(*_: object) -> Any:
    import structlog

    raise structlog.DropEvent


@pytest.mark.parametrize("name", ["[/]", "[/oops]", "[link=http://evil.example]x[/link]"])
def test_a_name_in_brackets_is_shown_as_it_is(harmony: Harmony, name: str) -> None:
    assert f"1 {name}: viewer" in harmony("keys", "create", name)
    assert name in harmony("keys", "list")


def test_a_name_of_an_earlier_release_moves_no_terminal(harmony: Harmony, database: Engine) -> None:
    with database.begin() as connection:
        create_key(connection, "ci \x9b2J\x1b[1;1H\u202etest", Role.VIEWER, SystemClock().now())
    assert "ci ?2J?[1;1H?test" in harmony("keys", "list")


def test_a_key_is_made_rotated_and_revoked(harmony: Harmony, database: Engine) -> None:
    made = harmony.json("keys", "create", "ci", "--role", "operator", "--namespace", "team-a")
    now = SystemClock().now()
    assert KeyVerifier(database).verify(made["token"], now).grants == (
        RoleGrant("team-a", Role.OPERATOR, "default"),
    )
    new = harmony.json("keys", "rotate", str(made["id"]), "--grace", "1")
    assert new["namespaces"] == ["team-a"]
    shown = harmony("keys", "list")
    assert "replaced" in shown
    assert "in force" in shown
    assert made["token"].split("_", 2)[2] not in shown
    harmony("keys", "revoke", str(new["id"]))
    assert {key["id"]: bool(key["revoked_at"]) for key in harmony.json("keys", "list")} == {
        made["id"]: False,
        new["id"]: True,
    }
    with database.connect() as connection:
        rows = connection.execute(text("SELECT actor, action FROM audit ORDER BY id")).all()
    assert [action for _, action in rows] == [
        "key.create", "key.rotate", "key.create", "key.revoke",
    ]  # fmt: skip
    assert all(actor.endswith("(command line)") for actor, _ in rows)


@pytest.mark.parametrize("error", [KeyError("getpwuid(): uid not found: 12345"), OSError("none")])
def test_a_uid_without_a_name_is_named_by_itself(
    harmony: Harmony, database: Engine, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """As in a container with `--user`, or on OpenShift: commands ended with a traceback."""

    def nobody() -> str:
        raise error

    monkeypatch.setattr(getpass, "getuser", nobody)
    harmony("keys", "create", "grafana", "--role", "viewer")
    harmony("cells", "total", "H100", "8")
    with database.connect() as connection:
        actors = list(connection.execute(text("SELECT actor FROM audit ORDER BY id")).scalars())
    assert actors == [f"uid {os.getuid()} (command line)"] * 2


def test_what_cannot_be_is_one_line(harmony: Harmony) -> None:
    with pytest.raises(InvalidInput, match=r"^namespaces.0='A'"):
        harmony("keys", "create", "x", "--namespace", "A")
    with pytest.raises(InvalidInput, match=r"^expires_at=.*2020"):
        harmony("keys", "create", "x", "--expires-at", "2020-01-01T00:00:00Z")
    with pytest.raises(InvalidInput, match=r"^--expires-at=soon: must be a time to come"):
        harmony("keys", "create", "x", "--expires-at", "soon")
    with pytest.raises(NotFound, match="key 7"):
        harmony("keys", "revoke", "7")
    with pytest.raises(InvalidInput, match="give one of them"):
        harmony("audit", "check", "--anchor", "1:a", "--anchor-file", "x")
    with pytest.raises(InvalidInput, match="anchor='nonsense'"):
        harmony("audit", "check", "--anchor", "nonsense")


def test_an_end_cut_off_shows_against_the_file(
    harmony: Harmony, database: Engine, tmp_path: Path
) -> None:
    file = tmp_path / "anchor"
    assert "0 entries" in harmony("audit", "check", "--anchor-file", str(file))
    assert not file.exists()
    for name in ("a", "b", "c"):
        harmony("keys", "create", name)
    first = harmony("audit", "check", "--anchor-file", str(file))
    assert "intact: 3 entries" in first
    head = file.read_text().strip()
    assert head in first
    harmony("keys", "create", "d")
    second = harmony.json("audit", "check", "--anchor-file", str(file))
    assert (second["is_intact"], second["is_anchored"]) == (True, True)
    assert file.read_text().strip() == second["head"] != head
    with database.begin() as connection:
        connection.execute(text("ALTER TABLE audit DISABLE TRIGGER USER"))  # as the table's owner
        connection.execute(text("DELETE FROM audit WHERE id = 4"))
    assert "intact" in harmony("audit", "check")
    assert "CUT" in harmony("audit", "check", "--anchor-file", str(file), status=1)
    assert file.read_text().strip() == second["head"]  # the evidence stays
    with database.begin() as connection:
        connection.execute(text("UPDATE audit SET actor = 'x' WHERE id = 2"))
    assert "BROKEN: entry 2" in harmony("audit", "check", status=1)
