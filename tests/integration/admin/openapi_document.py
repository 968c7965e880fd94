"""Operations of the OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(path, method, operation) of everything under /v1."""
    for path, by_method in document["paths"].items():
        if path.startswith("/v1"):
            for method, operation in by_method.items():
                yield path, method, operation
