"""The last release goes on writing while the newest schema is there: what migrations must keep.

The rule is in docs/data-model.md. What a migration cannot keep stands in `ACCEPTED`, and what is to
be stopped before it in docs/operations.md.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from services.kernel.db.migrations import head_revision, migrate, see_schema
from services.kernel.db.session import dispose_engines, make_engine
from services.lab.bench.faults.old_code import LAST_RELEASE, unpack
from tests.databases import Databases

pytestmark = pytest.mark.integration
REPO = Path(__file__).parents[4]
RELEASED = "0016"
"""Revision of the schema of the last release."""
_STEPS = "Workers of the older release cannot write steps once the migration has run"
ACCEPTED: Mapping[str, str] = {
    "indicators is no longer partitioned": _STEPS,
    "the key of indicators {indicator,step_at,workload_id} is gone": _STEPS,
}
"""What is lost, as `losses` says it, by the words about it in docs/operations.md."""
# not those that write steps, see `ACCEPTED`
RELEASED_TESTS = (
    "operator/reconcile/test_register.py",
    "operator/reconcile/test_intents.py",
    "operator/reconcile/test_reconcile_pass.py",
    "kernel/db/test_operations.py",
)
COLUMNS = text("""
SELECT c.table_name || '.' || c.column_name AS name, c.data_type || ' ' || c.udt_name AS type,
       c.is_nullable = 'YES' OR c.column_default IS NOT NULL OR c.is_identity = 'YES' AS is_optional
FROM information_schema.columns c WHERE c.table_schema = 'public'
""")
RELATIONS = text("""
SELECT c.relname, c.relkind::text FROM pg_class c WHERE c.relkind IN ('r', 'p', 'v')
AND c.relnamespace = 'public'::regnamespace AND NOT c.relispartition
""")
KEYS = text("""
SELECT i.indrelid::regclass || ' ' || array_agg(a.attname ORDER BY a.attname)::text
FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)
JOIN pg_class c ON c.oid = i.indrelid
WHERE i.indisunique AND i.indpred IS NULL AND c.relnamespace = 'public'::regnamespace
AND NOT c.relispartition GROUP BY i.indexrelid, i.indrelid
""")


def losses(released: Engine, newest: Engine) -> list[str]:
    """What code of the released schema would miss in the newest one."""
    with released.connect() as before, newest.connect() as after:
        old_kinds, kinds = (
            {row.relname: row.relkind for row in c.execute(RELATIONS)} for c in (before, after)
        )
        old_columns, columns = (
            {row.name: row for row in c.execute(COLUMNS)} for c in (before, after)
        )
        old_keys, keys = (set(c.scalars(KEYS)) for c in (before, after))
    found = [
        f"{name} is no longer {'partitioned' if kind == 'p' else 'a table'}"
        for name, kind in old_kinds.items()
        if kinds.get(name) != kind
    ]
    for name, column in old_columns.items():
        if name not in columns:
            found.append(f"{name} is gone")
        elif columns[name].type != column.type:
            found.append(f"{name} is {columns[name].type}, was {column.type}")
        elif column.is_optional and not columns[name].is_optional:
            found.append(f"{name} must be given now")
    found += [
        f"{name} must be given, and is new"
        for name, column in columns.items()
        if name not in old_columns
        and name.partition(".")[0] in old_kinds
        and not column.is_optional
    ]
    return sorted([*found, *(f"the key of {key} is gone" for key in old_keys - keys)])


@contextmanager
def schema_at(databases: Databases, revision: str) -> Iterator[Engine]:
    """A database with the schema of a revision."""
    name = databases.create()
    url = databases.url(name)
    migrate(make_engine(url), revision)
    yield make_engine(url)
    dispose_engines(url)
    databases.drop(name)


@pytest.fixture
def released(databases: Databases) -> Iterator[Engine]:
    """The schema of the last release."""
    with schema_at(databases, RELEASED) as engine:
        yield engine


def test_the_newest_schema_takes_what_the_last_release_writes(
    released: Engine, database: Engine
) -> None:
    found = losses(released, database)
    assert [loss for loss in found if loss not in ACCEPTED] == []
    manual = (REPO / "docs/operations.md").read_text()
    assert all(words in manual for words in ACCEPTED.values())


def test_the_newest_schema_takes_what_the_oldest_code_that_it_names_writes(
    databases: Databases, database: Engine
) -> None:
    oldest_code = see_schema(database).oldest_code
    assert oldest_code is not None
    with schema_at(databases, oldest_code) as known:
        assert losses(known, database) == []


@pytest.mark.parametrize(
    ("change", "loss"),
    [
        ("ALTER TABLE models DROP COLUMN reason", "models.reason is gone"),
        ("ALTER TABLE models ADD COLUMN more text NOT NULL", "models.more must be given, and is"),
        ("ALTER TABLE models ALTER COLUMN retired_at SET NOT NULL", "models.retired_at must be"),
        ("ALTER TABLE intents ALTER COLUMN attempt TYPE bigint", "intents.attempt is bigint"),
        ("ALTER TABLE models RENAME TO fits", "models is no longer a table"),
        (
            "ALTER TABLE indicators RENAME TO i; CREATE VIEW indicators AS SELECT * FROM i",
            "indicators is no longer partitioned",
        ),
        ("ALTER TABLE models DROP CONSTRAINT uq_models_version", "the key of models {version}"),
    ],
)
def test_what_it_would_not_take_is_found(
    released: Engine, database: Engine, change: str, loss: str
) -> None:
    with database.begin() as connection:
        connection.execute(text(change))
    assert any(found.startswith(loss) for found in losses(released, database))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_last_releases_own_tests_pass_on_the_newest_schema(tmp_path: Path) -> None:
    old = tmp_path / "old"
    parts = ("services", "decider", "forecaster", "tests", "deploy", "helm", "pyproject.toml")
    if not unpack(LAST_RELEASE, old, parts):
        pytest.skip(f"no repository that knows {LAST_RELEASE}")
    versions = "services/kernel/db/migrations/versions"
    shutil.copytree(REPO / versions, old / versions, dirs_exist_ok=True)
    tests = [f"tests/integration/{name}" for name in RELEASED_TESTS]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", *tests],
        cwd=old,
        env={**os.environ, "PYTHONPATH": str(old)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"at {head_revision()}: {done.stdout[-3000:]}"
