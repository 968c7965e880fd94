"""The proxy over real sockets: it passes on, cuts, delays, holds back."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from services.lab.bench.faults.proxy import FaultProxy, Upstream

TIMEOUT_S = 20.0
BRIEF_S = 0.3


class Echo:
    """Sends back what it gets, on TCP or on a Unix socket."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._listener.listen()
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            threading.Thread(target=self._echo, args=(connection,), daemon=True).start()

    def _echo(self, connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65536):
                    connection.sendall(data)
            except OSError:
                return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture(params=["tcp", "unix"])
def proxy(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FaultProxy]:
    if request.param == "tcp":
        listener = socket.create_server(("127.0.0.1", 0))
        upstream = Upstream(port=listener.getsockname()[1])
    else:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(tmp_path / "s"))
        upstream = Upstream(path=str(tmp_path / "s"))
    echo = Echo(listener)
    with FaultProxy(upstream) as found:
        yield found
    echo.close()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


def connect(stack: ExitStack, proxy: FaultProxy) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", proxy.port), timeout=TIMEOUT_S)
    return stack.enter_context(client)


def echoed(client: socket.socket, data: bytes) -> bytes:
    sender = threading.Thread(target=client.sendall, args=(data,), daemon=True)
    sender.start()
    found = b""
    while len(found) < len(data) and (piece := client.recv(65536)):
        found += piece
    sender.join(TIMEOUT_S)
    return found


def is_broken(client: socket.socket) -> bool:
    """Nothing comes any more: the other end was closed, or reset."""
    try:
        client.sendall(b"anyone")
        return client.recv(1) == b""
    except ConnectionError:
        return True


def test_it_passes_on_every_byte_both_ways(proxy: FaultProxy, stack: ExitStack) -> None:
    data = bytes(range(256)) * 4096
    assert echoed(connect(stack, proxy), data) == data
    assert (proxy.n_cut, proxy.n_delayed, proxy.n_held) == (0, 0, 0)


def test_it_cuts_what_is_open_and_takes_none_until_mended(
    proxy: FaultProxy, stack: ExitStack
) -> None:
    client = connect(stack, proxy)
    assert echoed(client, b"a") == b"a"
    proxy.cut()
    assert is_broken(client)
    assert proxy.n_cut >= 1
    assert is_broken(connect(stack, proxy))
    assert proxy.n_cut >= 2
    proxy.mend(cut=True)
    assert echoed(connect(stack, proxy), b"b") == b"b"


def test_it_delays(proxy: FaultProxy, stack: ExitStack) -> None:
    client = connect(stack, proxy)
    proxy.delay(BRIEF_S)
    client.sendall(b"a")
    client.settimeout(BRIEF_S)
    with pytest.raises(TimeoutError):  # there and back take twice as long
        client.recv(1)
    client.settimeout(TIMEOUT_S)
    assert client.recv(1) == b"a"
    assert proxy.n_delayed == 2
    proxy.mend(delay=True)
    assert echoed(client, b"b") == b"b"
    assert proxy.n_delayed == 2


def test_it_holds_back_and_lets_go(proxy: FaultProxy, stack: ExitStack) -> None:
    client = connect(stack, proxy)
    assert echoed(client, b"a") == b"a"
    proxy.stall()
    client.sendall(b"b")
    client.settimeout(BRIEF_S)
    with pytest.raises(TimeoutError):
        client.recv(1)
    client.settimeout(TIMEOUT_S)
    proxy.mend(stall=True)
    assert client.recv(1) == b"b"
    assert proxy.n_held == 1


def test_a_server_that_is_away_is_away_through_it(stack: ExitStack, tmp_path: Path) -> None:
    with FaultProxy(Upstream(path=str(tmp_path / "none"))) as proxy:
        assert is_broken(connect(stack, proxy))
        assert proxy.n_cut == 0


def test_it_ends_with_connections_open(stack: ExitStack) -> None:
    echo = Echo(listener := socket.create_server(("127.0.0.1", 0)))
    with FaultProxy(Upstream(port=listener.getsockname()[1])) as proxy:
        client = connect(stack, proxy)
        assert echoed(client, b"a") == b"a"
    assert is_broken(client)
    echo.close()
