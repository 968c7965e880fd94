"""Which workloads a list shows."""

from __future__ import annotations

import pytest

from services.cli.workload_filter import chosen
from services.kernel.errors import NotFound

ROWS = [{"workload": name} for name in ("a/x", "a/y", "b/x")]


@pytest.mark.parametrize(
    ("namespace", "name", "found"),
    [
        ("", "", ["a/x", "a/y", "b/x"]),
        ("a", "", ["a/x", "a/y"]),
        ("", "x", ["a/x", "b/x"]),
        ("b", "x", ["b/x"]),
        ("", "a/y", ["a/y"]),
    ],
)
def test_rows_are_those_asked_for(namespace: str, name: str, found: list[str]) -> None:
    assert [row["workload"] for row in chosen(ROWS, namespace, name)] == found


def test_none_of_them_is_named() -> None:
    with pytest.raises(NotFound, match="no workload b/y among the 3 here"):
        chosen(ROWS, "b", "y")
    assert chosen([], "b", "y") == []


def test_a_namespace_and_a_name_alone_are_called_what_they_are() -> None:
    with pytest.raises(NotFound, match="no workload of namespace nowhere among the 3 here"):
        chosen(ROWS, "nowhere", "")
    with pytest.raises(NotFound, match="no workload named none among the 3 here"):
        chosen(ROWS, "", "none")
