"""Each migration states the oldest code that its schema serves, and what it takes away counts."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from services.kernel.db.migrations import versions

FOLDER = Path(versions.__file__ or "").parent
FIRST = "0034"
"""The first one that states it."""
HARMLESS: Mapping[str, str] = {
    "0036": "it loosens a column; code of before reads it in avg() and sum(), which leave NULL "
    "out, and writes no NULL. Where all of a model in a week are NULL it cannot show the quality "
    "of that workload's forecasts: docs/operations.md says so",
    "0037": "its trigger writes a table that code of before neither reads nor writes, and refuses "
    "no row of workloads",
    "0039": "its trigger fills columns that code of before neither reads nor writes, and refuses "
    "no row of workloads",
}
"""By revision, why code of its `oldest_code` does not miss what it takes away or changes.

For instance "models.reason is read by no code since 0036". Without such a reason a migration that
takes something away serves its own code only: `oldest_code` is its own revision.
"""
UNKNOWN = "9999"
"""A revision that no table here has."""
TAKES_AWAY = re.compile(
    r"drop_(column|table|constraint|index)|rename_table|alter_column|batch_alter_table"
    r"|create_(check|unique)_constraint|create_exclude_constraint|create_foreign_key"
    r"|create_primary_key|bulk_insert"
    r"|\b(DROP|RENAME|TRUNCATE|DELETE\s+FROM|SET\s+NOT\s+NULL|SET\s+SCHEMA|NOT\s+VALID)\b"
    r"|\bALTER\s+COLUMN\s+\S+\s+(SET\s+DATA\s+)?TYPE\b|\bUPDATE\s+\w+\s+SET\b"
    r"|\bADD\s+(CONSTRAINT|CHECK|UNIQUE|PRIMARY|FOREIGN|EXCLUDE)\b|\bCREATE\s+UNIQUE\b"
    r"|\bCREATE\s+(CONSTRAINT\s+)?TRIGGER\b|\bREVOKE\b",
    re.IGNORECASE,
)
"""What older code may miss, or be refused by; what it only finds changed, such as rows, too."""


def migrations() -> dict[str, Path]:
    """Files of all migrations, by revision."""
    return {path.name[:4]: path for path in sorted(FOLDER.glob("[0-9]*.py"))}


def stated(source: str, name: str) -> object:
    """A constant of a migration's module; None: it states none."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and [ast.unparse(t) for t in node.targets] == [name]:
            return ast.literal_eval(node.value)
    return None


def taken_away(source: str) -> list[str]:
    """Words of a migration that take something away, or change it; `downgrade` does not count."""
    module = ast.parse(source)
    kept = [
        node
        for node in module.body
        if not (isinstance(node, ast.FunctionDef) and node.name == "downgrade")
        and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    ]
    text = "\n".join(ast.unparse(node) for node in kept)
    return [match[0] for match in TAKES_AWAY.finditer(text)] + list(_obligatory(kept))


def _obligatory(nodes: list[ast.stmt]) -> Iterator[str]:
    """Columns that are added to a table that is there, and that older writers must give."""
    for node in (inner for outer in nodes for inner in ast.walk(outer)):
        if not (isinstance(node, ast.Call) and ast.unparse(node.func).endswith("add_column")):
            continue
        for call in (inner for inner in ast.walk(node) if isinstance(inner, ast.Call)):
            given = {word.arg: ast.unparse(word.value) for word in call.keywords}
            if given.get("nullable") == "False" and "server_default" not in given:
                yield ast.unparse(call)
    text = "\n".join(ast.unparse(node) for node in nodes)
    for match in re.finditer(r"ADD\s+COLUMN\b[^,;']*NOT\s+NULL[^,;']*", text, re.IGNORECASE):
        if "DEFAULT" not in match[0].upper():
            yield match[0]


def faults(revision: str, source: str, before: str, known: set[str]) -> list[str]:
    """What is wrong with the `oldest_code` of a migration.

    Args:
        revision: Its revision.
        source: Its text.
        before: The `oldest_code` of the migration before it.
        known: All revisions.
    """
    oldest_code = stated(source, "oldest_code")
    if not isinstance(oldest_code, str) or oldest_code not in known | {revision}:
        return [f"{revision}: oldest_code={oldest_code!r} must be the revision of a migration"]
    found = []
    if not before <= oldest_code <= revision:
        found.append(f"{revision}: oldest_code={oldest_code} must be from {before} to {revision}")
    away = taken_away(source)
    if away and oldest_code != revision and revision not in HARMLESS:
        found.append(
            f"{revision}: {away} may be missed by code of {oldest_code}: set oldest_code to "
            f"{revision}, or say in HARMLESS why it is not"
        )
    return found


def test_revisions_go_up_and_are_named_by_their_files() -> None:
    """They are compared as text: by code that does not know the migration itself."""
    found = migrations()
    for revision, path in found.items():
        source = path.read_text()
        assert stated(source, "revision") == revision
        assert re.fullmatch(r"\d{4}", revision)
        if revision >= FIRST:
            assert str(stated(source, "down_revision")) < revision


def test_each_migration_states_the_oldest_code_that_its_schema_serves() -> None:
    known, before = migrations(), "0001"
    for revision, path in known.items():
        if revision >= FIRST:
            assert faults(revision, path.read_text(), before, set(known)) == []
            before = str(stated(path.read_text(), "oldest_code"))
    assert set(HARMLESS) <= set(known)


@pytest.mark.parametrize(
    "change",
    [
        'op.drop_column("models", "reason")',
        'op.rename_table("models", "fits")',
        'op.alter_column("models", "retired_at", nullable=False)',
        'op.add_column("models", sa.Column("more", sa.Text(), nullable=False))',
        'op.create_check_constraint("positive", "models", "id > 0")',
        'op.create_unique_constraint("uq", "models", ["kind"])',
        'op.execute("ALTER TABLE models DROP COLUMN reason")',
        'op.execute("ALTER TABLE models RENAME COLUMN reason TO why")',
        'op.execute("alter table models alter column id set not null")',
        'op.execute("ALTER TABLE models ALTER COLUMN id TYPE bigint")',
        'op.execute("ALTER TABLE models ADD COLUMN more text NOT NULL")',
        'op.execute("UPDATE models SET reason = NULL")',
        'op.execute("CREATE TRIGGER t BEFORE INSERT ON models EXECUTE FUNCTION f()")',
    ],
)
def test_what_takes_something_away_and_leaves_the_oldest_code_behind_is_found(change: str) -> None:
    source = f'oldest_code = "0034"\n\ndef upgrade():\n    {change}\n\ndef downgrade():\n    pass\n'
    known = {"0034", "0035"}
    (found,) = faults(UNKNOWN, source, "0034", known)
    assert f"set oldest_code to {UNKNOWN}" in found
    assert faults(UNKNOWN, source.replace('"0034"', f'"{UNKNOWN}"'), "0034", known) == []


@pytest.mark.parametrize(
    "change",
    [
        'op.add_column("models", sa.Column("more", sa.Text(), nullable=True))',
        'op.add_column("m", sa.Column("n", sa.Integer(), nullable=False, server_default="0"))',
        'op.create_table("more", sa.Column("id", sa.Integer(), nullable=False))',
        'op.create_index("ix", "models", ["kind"])',
        'op.execute("ALTER TABLE models ADD COLUMN more int NOT NULL DEFAULT 0")',
        'op.execute("CREATE OR REPLACE VIEW cell.models AS SELECT * FROM models")',
    ],
)
def test_what_only_adds_may_leave_it(change: str) -> None:
    source = (
        f'"""Nothing to DROP."""\noldest_code = "0034"\n\ndef upgrade():\n    {change}\n\n'
        'def downgrade():\n    op.drop_column("models", "more")\n'
    )
    assert faults("0036", source, "0034", {"0034", "0035"}) == []


@pytest.mark.parametrize(
    ("oldest_code", "said"),
    [("", "must be the revision"), ("0037", "must be the revision"), ("0033", "from 0034 to 0036")],
)
def test_what_is_no_oldest_code_is_found(oldest_code: str, said: str) -> None:
    source = f'oldest_code = "{oldest_code}"\n\ndef upgrade():\n    pass\n'
    known = {"0033", "0034", "0035"}
    assert said in faults("0036", source, "0034", known)[0]
    unstated = source.replace("oldest_code", "oldest")
    assert "oldest_code=None must be" in faults("0036", unstated, "0034", known)[0]


def test_of_what_there_is_the_ones_that_took_something_away_are_found() -> None:
    """What 0034 says of the past is what these are: 0033 filled in a column that it added."""
    found = {
        revision
        for revision, path in migrations().items()
        if "0017" < revision < FIRST and taken_away(path.read_text())
    }
    assert found == {"0018", "0020", "0033"}
