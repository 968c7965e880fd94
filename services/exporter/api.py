"""`/metrics/workloads`, beside the metrics of the process itself."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

from sqlalchemy.exc import SQLAlchemyError

from services.exporter.repository import FleetPart
from services.exporter.service import WorkloadPages
from services.kernel.errors import InvalidInput
from services.kernel.http.metrics_server import Application, metrics_app
from services.kernel.telemetry import get_logger

PATH = "/metrics/workloads"
_FORMAT = "text/plain; version=0.0.4; charset=utf-8"
_PART = re.compile(r"([1-9][0-9]{0,3})/([1-9][0-9]{0,3})")


def workload_metrics(pages: WorkloadPages) -> Application:
    """The application: the page of the workloads, and for every other path the process's own."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("PATH_INFO") != PATH:
            return metrics_app(environ, start_response)
        headers = [("Content-Type", _FORMAT)]
        try:
            body = pages.page(to_part(environ.get("QUERY_STRING", "")))
        except InvalidInput as error:
            start_response("400 Bad Request", headers)
            return [f"{error.message}\n".encode()]
        except SQLAlchemyError as error:
            # no old figures: who scrapes sees that nothing is known
            get_logger("exporter").warning("workloads_not_exported", error=str(error)[:200])
            start_response("503 Service Unavailable", headers)
            return [b"the database cannot be read\n"]
        if "gzip" in environ.get("HTTP_ACCEPT_ENCODING", ""):
            headers.append(("Content-Encoding", "gzip"))
        else:
            body = gzip.decompress(body)
        start_response("200 OK", [*headers, ("Content-Length", str(len(body)))])
        return [body]

    return answer


def to_part(query: str) -> FleetPart:
    """The part of the fleet that a query asks for; all of it where it names none.

    Raises:
        InvalidInput: It is no part.
    """
    given = parse_qs(query, keep_blank_values=True).get("part", ["1/1"])[-1]
    found = _PART.fullmatch(given)
    if found is None or int(found[1]) > int(found[2]):
        raise InvalidInput(f"part={given[:40]!r} must be K/N with K from 1 to N, e.g. 1/4")
    return FleetPart(int(found[1]) - 1, int(found[2]))
