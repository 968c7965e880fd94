"""Which workloads a command prints: arguments that lists share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from services.kernel.errors import NotFound

Namespace = Annotated[str, typer.Option("--namespace", "-n", help="Only this namespace.")]
Name = Annotated[str, typer.Argument(help="Only this workload.", show_default=False)]


def place_of(namespace: str, name: str) -> tuple[str, str]:
    """Namespace and name of what is asked for, whose name may say both: `namespace/name`."""
    asked, slash, own = name.rpartition("/")
    return (asked if slash else namespace), own


def chosen(rows: Sequence[dict[str, Any]], namespace: str, name: str) -> list[dict[str, Any]]:
    """The rows of the workloads asked for, by their `workload`, `namespace/name`.

    Args:
        rows: Of all workloads.
        namespace: Of one namespace; empty: of all.
        name: Of one name, also given as `namespace/name`; empty: of all.

    Raises:
        NotFound: There are rows, and none is of that workload.
    """
    namespace, own = place_of(namespace, name)
    kept = [row for row in rows if _is_of(row["workload"], namespace, own)]
    if rows and not kept:
        of_one = f"named {own}" if own else f"of namespace {namespace}"
        wanted = f"{namespace}/{own}" if namespace and own else of_one
        raise NotFound(f"no workload {wanted} among the {len(rows)} here; see `harmony status`")
    return kept


def _is_of(workload: str, namespace: str, name: str) -> bool:
    found = workload.partition("/")
    return namespace in ("", found[0]) and name in ("", found[2])
