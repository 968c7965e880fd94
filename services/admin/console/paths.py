"""Addresses of the console: a workload's in the path, and redirects that stay on this site."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import Depends

from services.admin.rest.service import WorkloadKey


def local_path(path: str) -> str:
    """`path` if it stays on this site, else the fleet: no open redirect."""
    is_local = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_local else "/"


def key_of(namespace: str, name: str) -> WorkloadKey:
    """The workload in the path."""
    return WorkloadKey(namespace, name)


Key = Annotated[WorkloadKey, Depends(key_of)]


def path_of(key: WorkloadKey) -> str:
    """Address of a workload's page."""
    return f"/workloads/{quote(key.namespace, safe='')}/{quote(key.name, safe='')}"
