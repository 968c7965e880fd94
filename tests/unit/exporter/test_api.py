"""The page over HTTP, beside the process's own metrics."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from services.exporter.api import to_part, workload_metrics
from services.exporter.repository import FleetPart
from services.kernel.errors import InvalidInput


class FixedPages:
    """Pages that name their part; or a database that is away."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def page(self, part: FleetPart) -> bytes:
        """The part, compressed."""
        if self.error is not None:
            raise self.error
        return gzip.compress(f"part {part.part} of {part.n_parts}\n".encode())


def ask(pages: Any, path: str, query: str = "", encoding: str = "") -> tuple[str, dict, bytes]:
    environ = {"PATH_INFO": path, "QUERY_STRING": query, "HTTP_ACCEPT_ENCODING": encoding}
    environ |= {"REQUEST_METHOD": "GET"}
    answered: list[Any] = []
    body = workload_metrics(pages)(
        environ, lambda status, headers: answered.extend((status, headers))
    )
    return answered[0], dict(answered[1]), b"".join(body)


def test_the_page_is_plain_or_compressed() -> None:
    status, headers, body = ask(FixedPages(), "/metrics/workloads")
    assert (status, body) == ("200 OK", b"part 0 of 1\n")
    assert headers["Content-Length"] == str(len(body))
    assert "Content-Encoding" not in headers
    _, headers, body = ask(FixedPages(), "/metrics/workloads", "part=2/4", "gzip, br")
    assert headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(body) == b"part 1 of 4\n"


def test_every_other_path_is_the_process_itself() -> None:
    _, _, body = ask(FixedPages(RuntimeError()), "/metrics")
    assert b"harmony_build_info" in body


def test_a_database_that_is_away_shows_nothing_old() -> None:
    away = OperationalError("SELECT", {}, Exception("no route"))
    status, _, body = ask(FixedPages(away), "/metrics/workloads")
    assert status.startswith("503")
    assert b"harmony_" not in body


@pytest.mark.parametrize("given", ["0/4", "5/4", "1", "1/4/2", "-1/4", "a/b", "", "1/0", "01/4"])
def test_what_is_no_part_is_refused_by_name(given: str) -> None:
    with pytest.raises(InvalidInput, match=r"^part=.*K/N"):
        to_part(f"part={given}")
    status, _, body = ask(FixedPages(), "/metrics/workloads", f"part={given}")
    assert status.startswith("400")
    assert b"K/N" in body


def test_no_part_is_all_of_it() -> None:
    assert to_part("") == FleetPart(0, 1)
    assert to_part("part=3/3") == FleetPart(2, 3)
