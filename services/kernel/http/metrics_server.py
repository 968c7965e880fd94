"""The small server of processes that serve nothing else: metrics and probes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import make_wsgi_app

from services.kernel import telemetry
from services.kernel.listening import HEAD_S

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
"""A WSGI application."""

metrics_app: Application = make_wsgi_app(registry=telemetry.REGISTRY)
"""Answers with this process's metrics."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(
        self, listener: socket.socket, app: Application, handler: type[WSGIRequestHandler]
    ) -> None:
        """Serve on a socket that listens already."""
        address = listener.getsockname()[:2]
        super().__init__(address, handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.server_name, self.server_port = address  # no name is looked up: that may take its time
        self.setup_environ()
        self.set_app(app)


class BoundedHandler(WSGIRequestHandler):
    """One request of one connection, which has only so long; logs nothing for each."""

    most_s = HEAD_S

    def handle(self) -> None:
        """Answer, unless the client or its time is gone first."""
        end = threading.Timer(self.most_s, self._end)
        end.daemon = True
        end.start()
        try:
            with suppress(OSError):
                super().handle()
        finally:
            end.cancel()

    def _end(self) -> None:
        with suppress(OSError):  # it has gone by itself
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing for each request."""


def serve_wsgi(
    listener: socket.socket,
    app: Application = metrics_app,
    handler: type[BoundedHandler] = BoundedHandler,
) -> WSGIServer:
    """Answer on `listener` until the process ends or `shutdown` is called."""
    server = _Server(listener, app, handler)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server
