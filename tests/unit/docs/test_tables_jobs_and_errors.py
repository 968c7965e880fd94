"""Every table, column, metric, job and error code is documented."""

import re
from pathlib import Path

import pytest

from services.kernel import errors, jobs, telemetry
from services.kernel.db.schema import metadata

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize("table", sorted(metadata.tables))
def test_table_and_its_columns(table: str) -> None:
    text = (DOCS / "data-model.md").read_text()
    section = re.search(rf"^### `{table}`\n(.*?)(?=^#|\Z)", text, re.M | re.S)
    assert section, f"docs/data-model.md has no section ### `{table}`"
    missing = [c.name for c in metadata.tables[table].columns if f"`{c.name}`" not in section[1]]
    assert missing == []


def test_metrics() -> None:
    text = (DOCS / "metrics.md").read_text()
    names = {metric.name for metric in telemetry.REGISTRY.collect()}
    assert len(names) > 20
    assert [name for name in sorted(names) if f"`{name}" not in text] == []


def test_jobs() -> None:
    text = (DOCS / "data-model.md").read_text()
    names = {
        value
        for name, value in vars(jobs).items()
        if name.isupper() and isinstance(value, str) and "." in value
    }
    assert len(names) >= 10
    assert [name for name in sorted(names) if f"`{name}`" not in text] == []


def test_error_codes() -> None:
    text = (DOCS / "errors.md").read_text()
    classes = [errors.HarmonyError, *errors.HarmonyError.__subclasses__()]
    assert [c.code for c in classes if f"`{c.code}`" not in text] == []
