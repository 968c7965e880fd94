"""Addresses of the console: a workload's in the path, and redirects that stay on this site."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import Depends


def local_path(path: str) -> str:
    """`path` if it stays on this site, else the fleet: no open redirect."""
    is_local = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_local else "/"


def named(namespace: str, name: str) -> tuple[str, str]:
    """Namespace and name of the workload in the path."""
    return namespace, name


Named = Annotated[tuple[str, str], Depends(named)]


def path_of(key: tuple[str, str]) -> str:
    """Address of a workload's page."""
    return f"/workloads/{quote(key[0], safe='')}/{quote(key[1], safe='')}"
