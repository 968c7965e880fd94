"""`/healthz`, `/readyz` and `/metrics` of the operator, on one port."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

from services.kernel import telemetry

Check = Callable[[], str]
"""Returns a problem; empty: there is none."""


@dataclass(frozen=True, slots=True)
class Checks:
    """Checks behind the probes.

    Attributes:
        alive: Wrong when only a new process can help.
        ready: Wrong while this process could not do its work.
    """

    alive: Check
    ready: Check


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing for each request."""


def serve(port: int, checks: Checks, host: str = "") -> WSGIServer:
    """Answer on `port` (0: a free one) until the process ends or `shutdown` is called.

    Raises:
        OSError: The port is taken.
    """
    metrics = make_wsgi_app(registry=telemetry.REGISTRY)
    probes = {"/healthz": checks.alive, "/readyz": checks.ready}

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        check = probes.get(environ.get("PATH_INFO", ""))
        if check is None:
            found: Iterable[bytes] = metrics(environ, start_response)
            return found
        problem = check()
        status = "503 Service Unavailable" if problem else "200 OK"
        start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [(problem or "ok").encode() + b"\n"]

    server = make_server(host, port, answer, _Server, _Quiet)
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
