"""A server that answers as it is told, one answer after the other, and notes what it got."""

from __future__ import annotations

import json
import threading
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class AnsweringServer(AbstractContextManager["AnsweringServer"]):
    """Answers requests with `answers` in turn, the last one for ever.

    Attributes:
        url: Where it listens.
        bodies: JSON of the requests, in the order in which they came; None: it had none.
    """

    def __init__(self, *answers: tuple[int, dict[str, str], Any]) -> None:
        self._answers = list(answers)
        self.bodies: list[Any] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            do_POST = do_GET  # noqa: N815 - the framework's name

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("Content-Length") or 0)
        self.bodies.append(json.loads(handler.rfile.read(length)) if length else None)
        code, headers, body = self._answers[0]
        if len(self._answers) > 1:
            self._answers.pop(0)
        raw = json.dumps(body).encode()
        handler.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(raw))}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(raw)

    def __enter__(self) -> AnsweringServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
