"""`/healthz`, `/readyz` and `/metrics` of the operator, on one port."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from wsgiref.simple_server import WSGIServer

from services.kernel.http.metrics_server import metrics_app, serve_wsgi

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


def serve(listener: socket.socket, checks: Checks) -> WSGIServer:
    """Answer on `listener` until the process ends or `shutdown` is called."""
    probes = {"/healthz": checks.alive, "/readyz": checks.ready}

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        check = probes.get(environ.get("PATH_INFO", ""))
        if check is None:
            return metrics_app(environ, start_response)
        problem = check()
        status = "503 Service Unavailable" if problem else "200 OK"
        start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [(problem or "ok").encode() + b"\n"]

    return serve_wsgi(listener, answer)
