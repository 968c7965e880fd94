"""docs/scale.md shows what its command prints; `python -m tests.unit.docs.test_scale` writes it."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from services.ingest.retention import retention
from services.kernel.settings import Settings
from services.lab.bench.fleet.points import load_points
from services.lab.bench.fleet.report import sections
from services.lab.bench.forecast.report import markdown

REPO = Path(__file__).parents[3]
PAGE, FIGURES = REPO / "docs" / "scale.md", REPO / "docs" / "benchmarks" / "fleet.json"
N_PLANNED = 1_000_000


def tables() -> dict[str, str]:
    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    kept = {name: span / timedelta(days=1) for name, span in retention(settings).items()}
    found = sections(load_points(FIGURES), N_PLANNED, kept)
    return {name: markdown(rows) for name, rows in found.items()}


def block(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- begin {name} -->\n)(.*?)(<!-- end {name} -->)", re.DOTALL)


def test_every_table_of_the_command_is_shown() -> None:
    text = PAGE.read_text()
    assert set(re.findall(r"<!-- begin (\w+) -->", text)) == set(tables())


@pytest.mark.parametrize("name", ["cycles", "stages", "tables", "plan", "walls", "assumed"])
def test_a_table_is_what_the_command_prints(name: str) -> None:
    found = block(name).search(PAGE.read_text())
    assert found is not None
    assert found[2].strip() == tables()[name]


def rewrite() -> None:
    """Put the tables of the command into the page."""
    text = PAGE.read_text()
    for name, table in tables().items():
        text = block(name).sub(lambda found, table=table: f"{found[1]}{table}\n{found[3]}", text)  # type: ignore[misc]
    PAGE.write_text(text)


if __name__ == "__main__":
    rewrite()
