"""A port is taken by who uses it, and said."""

from __future__ import annotations

import socket

import pytest

from services.kernel.errors import ConfigurationError
from services.kernel.listening import authority, find_address, listen, report_address


def test_port_0_takes_a_free_one_that_takes_connections_at_once() -> None:
    with listen("127.0.0.1", 0, "HARMONY_PORT") as first:
        with listen("127.0.0.1", 0, "HARMONY_PORT") as second:
            ports = {one.getsockname()[1] for one in (first, second)}
        assert len(ports) == 2
        socket.create_connection(first.getsockname(), timeout=10).close()


def test_a_port_that_is_taken_is_named() -> None:
    with listen("127.0.0.1", 0, "HARMONY_PORT") as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"HARMONY_PORT={port}: cannot listen there"):
            listen("127.0.0.1", port, "HARMONY_PORT")


@pytest.mark.parametrize(
    ("host", "scheme", "address"),
    [
        ("127.0.0.1", "http://", "http://127.0.0.1:4711"),
        ("::1", "http://", "http://[::1]:4711"),
        ("127.0.0.1", "", "127.0.0.1:4711"),
    ],
)
def test_what_is_reported_is_found(
    capsys: pytest.CaptureFixture[str], host: str, scheme: str, address: str
) -> None:
    report_address("scaler metrics", host, 4711, scheme)
    said = capsys.readouterr().out
    assert find_address(f"a line before\n{said}one after\n", "scaler metrics") == address
    assert find_address(said, "scaler") is None
    assert find_address(said.removesuffix("\n"), "scaler metrics") is None, "not whole yet"


def test_an_authority_is_as_in_a_url() -> None:
    assert authority("localhost", 80) == "localhost:80"
    assert authority("::", 80) == "[::]:80"
