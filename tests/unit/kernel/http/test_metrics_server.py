"""The small server: it answers, and holds no connection for ever."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import httpx
import pytest

from services.kernel.http.metrics_server import BoundedHandler, serve_wsgi
from services.kernel.listening import listen

PATIENCE_S = 60.0


class Hasty(BoundedHandler):
    most_s = 0.05


@pytest.fixture
def port() -> Iterator[int]:
    server = serve_wsgi(listen("127.0.0.1", 0, "PORT"), handler=Hasty)
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("sent", [b"", b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: "])
def test_a_request_that_never_ends_is_given_up(
    port: int, sent: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as client:
        client.sendall(sent)
        while client.recv(65536):
            pass
    assert capfd.readouterr().err == ""


def test_it_serves_an_address_of_version_6() -> None:
    server = serve_wsgi(listen("::1", 0, "PORT"))
    answer = httpx.get(f"http://[::1]:{server.server_port}/metrics", trust_env=False)
    server.shutdown()
    server.server_close()
    assert answer.status_code == 200


def test_metrics_are_answered() -> None:
    server = serve_wsgi(listen("127.0.0.1", 0, "PORT"))
    text = httpx.get(f"http://127.0.0.1:{server.server_port}/metrics", trust_env=False).text
    server.shutdown()
    server.server_close()
    assert "\nharmony_build_info{version=" in text
