"""The operator's own server, as it is wired."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from services.kernel.settings import Settings
from services.operator.handlers import serve_health


def test_probes_and_metrics_are_served_where_the_host_says_and_nowhere_else() -> None:
    settings = Settings(host="127.0.0.2", operator_metrics_port=0)
    server = serve_health(cast("Any", SimpleNamespace(settings=settings)), *cast("Any", (0, 0)))
    assert server is not None
    url = f"http://127.0.0.2:{server.server_port}/metrics"
    assert httpx.get(url, trust_env=False).status_code == 200
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.server_port))
    server.shutdown()
    server.server_close()


def test_without_a_port_nothing_is_served() -> None:
    deps = cast("Any", SimpleNamespace(settings=Settings(operator_metrics_port=None)))
    assert serve_health(deps, *cast("Any", (0, 0))) is None
