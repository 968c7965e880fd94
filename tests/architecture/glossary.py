"""The words of `docs/glossary.md`, and the public names that are made of them."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pydantic

import services.admin
from services.exporter.metrics import WORKLOAD_METRICS
from services.kernel.db.schema import metadata
from services.kernel.telemetry import REGISTRY

PAGE = Path(__file__).parents[2] / "docs" / "glossary.md"


@dataclass(frozen=True, slots=True)
class Glossary:
    """What the page allows.

    Attributes:
        known: Every word that a name may be made of.
        refused: Words that mean the same as a term, with the term.
        exceptions: Public names that hold a refused word all the same.
    """

    known: frozenset[str]
    refused: dict[str, str]
    exceptions: frozenset[str]


def read_glossary(page: str) -> Glossary:
    """The tables of terms, the words of form and the exceptions of the page."""
    known: set[str] = set()
    refused: dict[str, str] = {}
    terms, _, rest = page.partition("\n## Words of form\n")
    form, _, differing = rest.partition("\n## Public names that differ\n")
    for line in terms.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) != 4 or cells[0] in ("term", "---"):
            continue
        known |= set(re.findall(r"\w+", f"{cells[0]} {cells[2]}"))
        refused |= dict.fromkeys(re.findall(r"\w+", cells[3]), cells[0])
    listed = re.findall(r"(?:^|[:(,])\s*(\w+)(?=[,.)])", form)
    known |= set(listed)
    return Glossary(frozenset(known), refused, frozenset(re.findall(r"`(\w+)`", differing)))


def public_names() -> Iterator[tuple[str, str]]:
    """(where it stands, name) of tables, columns, metrics and fields of the API."""
    for table in metadata.tables.values():
        yield "table", table.name
        yield from ((f"column of {table.name}", column.name) for column in table.columns)
    yield from (("metric", family.name) for family in REGISTRY.collect())
    yield from (("metric", one.full_name) for one in WORKLOAD_METRICS)
    for found in pkgutil.walk_packages(services.admin.__path__, "services.admin."):
        if found.name.rpartition(".")[2].split("_")[-1] != "schemas":
            continue
        for model in vars(importlib.import_module(found.name)).values():
            if isinstance(model, type) and issubclass(model, pydantic.BaseModel):
                for name, field in model.model_fields.items():
                    yield f"field of {model.__name__}", field.alias or name


def words(name: str) -> list[str]:
    """The words of a name."""
    return re.findall(r"[a-z0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())
