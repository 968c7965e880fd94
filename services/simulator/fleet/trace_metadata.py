"""What the JSON beside a trace file says about it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.kernel.errors import InvalidInput


class TraceError(InvalidInput):
    """A trace that cannot be replayed; the message names what is wrong and what would be right."""

    code = "trace_error"


@dataclass(frozen=True, slots=True)
class TraceColumn:
    """One indicator column.

    Attributes:
        name: Column name in the file.
        level: 1 service, 2 container, 3 hardware.
        unit: Unit in words; a flow is counted per bin (`requests/bin`).
        is_derived: Computed from other columns of the file by whoever published it.
    """

    name: str
    level: int
    unit: str
    is_derived: bool = False

    @property
    def is_flow(self) -> bool:
        """Check whether bins add up when they are merged."""
        return self.unit.endswith("/bin")


@dataclass(frozen=True, slots=True)
class TraceMetadata:
    """The metadata of a trace.

    Attributes:
        document: The JSON object; empty where there is no such file.
    """

    document: dict[str, Any]

    def title(self, default: str) -> str:
        """For reports."""
        return str(self.document.get("title", default))

    def interval_s(self) -> int | None:
        """Step length in seconds, where it is stated.

        Raises:
            TraceError: It is not above 0.
        """
        stated = self.document.get("interval_seconds")
        if not isinstance(stated, int | float):
            return None
        if not math.isfinite(stated) or int(stated) <= 0:
            raise TraceError(f"interval_seconds={stated} must be > 0")
        return int(stated)

    def main_demand(self, names: Sequence[str]) -> str | None:
        """The one column that is marked as the demand; None where it is not one, or not there."""
        marked = [n for n, entry in self._described().items() if entry.get("main_demand") is True]
        return marked[0] if len(marked) == 1 and marked[0] in names else None

    def columns(self, names: Sequence[str]) -> tuple[TraceColumn, ...]:
        """The named columns with what is known of them; the level also by the name's prefix."""
        described = self._described()
        columns = []
        for name in names:
            known = described.get(name, {})
            level = known.get("level", _level_from_prefix(name))
            level = level if level in (1, 2, 3) else 1
            is_derived = known.get("derived") is True
            columns.append(TraceColumn(name, int(level), str(known.get("unit", "")), is_derived))
        return tuple(columns)

    def own_demand(self, demand: str, columns: Sequence[TraceColumn]) -> dict[str, str]:
        """Workloads whose demand is not the file's main one."""
        workloads = self.document.get("workloads")
        if not isinstance(workloads, dict):
            return {}
        names = {c.name for c in columns}
        found = {}
        for name, entry in workloads.items():
            own = entry.get("demand_column") if isinstance(entry, dict) else None
            if isinstance(own, str) and own in names and own != demand:
                found[str(name)] = str(own)
        return found

    def _described(self) -> dict[str, dict[str, Any]]:
        entries = self.document.get("indicators", [])
        if not isinstance(entries, list):
            return {}
        return {str(e["name"]): e for e in entries if isinstance(e, dict) and "name" in e}


def _level_from_prefix(name: str) -> int:
    return int(name[1]) if name[:1] == "l" and name[1:2] in "123" and name[2:3] == "_" else 1


def read_metadata(path: Path) -> TraceMetadata:
    """The metadata in the JSON of the same name as the trace at `path`.

    Raises:
        TraceError: It is no JSON object.
    """
    sidecar = path.with_suffix(".json")
    if not sidecar.is_file():
        return TraceMetadata({})
    try:
        document = json.loads(sidecar.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise TraceError(f"{sidecar.name} is not valid JSON: {error}") from error
    if not isinstance(document, dict):
        raise TraceError(f"{sidecar.name} must hold a JSON object")
    return TraceMetadata(document)
