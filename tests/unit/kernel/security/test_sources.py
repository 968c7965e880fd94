"""Where the URL of a source may lead: names, addresses, and names that change their address."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from services.kernel.errors import ConfigurationError
from services.kernel.security.sources import (
    GuardedTransport,
    SourceForbidden,
    check_url,
    parse_address,
    parse_policy,
)

SPECIAL = [
    "127.0.0.1",
    "127.9.9.9",
    "::1",
    "0.0.0.0",
    "::",
    "169.254.169.254",
    "169.254.1.1",
    "fe80::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "::ffff:168.63.129.16",
    "224.0.0.1",
    "ff02::1",
    "255.255.255.255",
    "240.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
]
ORDINARY = ["10.1.2.3", "192.168.1.1", "172.16.0.9", "203.0.114.7", "2606:4700::1", "fd12::9"]


def reaches(allow: str, host: str, *addresses: str) -> bool:
    """Whether every address of `host` may be connected to."""
    policy = parse_policy(allow)
    parsed = [parse_address(address) for address in addresses]
    return policy.may_ask(host) and all(
        policy.may_reach(host, address) for address in parsed if address is not None
    )


def test_what_is_refused_unless_it_is_listed() -> None:
    for address in SPECIAL:
        assert not reaches("", "prometheus", address), address
        assert not reaches("prometheus", "prometheus", address), address
        plain = address.removeprefix("::ffff:")
        assert reaches(plain, "prometheus", address), address
    for address in ORDINARY:
        assert reaches("", "prometheus", address), address


@pytest.mark.parametrize(
    ("allow", "host", "address", "expected"),
    [
        ("prometheus.monitoring", "prometheus.monitoring", "10.0.0.1", True),
        ("prometheus.monitoring", "Prometheus.Monitoring.", "10.0.0.1", True),
        ("prometheus.monitoring", "other", "10.0.0.1", False),
        ("*.example.org", "a.b.example.org", "203.0.114.7", True),
        ("*.example.org", "example.org", "203.0.114.7", False),
        ("*.example.org", "badexample.org", "203.0.114.7", False),
        ("*.example.org", "example.org.evil", "203.0.114.7", False),
        ("10.0.0.0/8", "any.name", "10.9.9.9", True),
        ("10.0.0.0/8", "any.name", "192.168.0.1", False),
        ("10.0.0.0/8,p", "p", "192.168.0.1", True),
        ("localhost", "localhost", "127.0.0.1", True),
        ("localhost", "localhost", "::1", True),
        ("127.0.0.1", "localhost", "127.0.0.1", True),
        ("127.0.0.1", "localhost", "127.0.0.2", False),
        ("fd00:ec2::/32", "p", "fd00:ec2::254", True),
    ],
)
def test_the_list(allow: str, host: str, address: str, expected: bool) -> None:
    assert reaches(allow, host, address) is expected


def test_an_entry_that_is_none_is_named() -> None:
    for text in ("http://p:9090", "*.", "*", "a b", "10.0.0.0/33", "p:9090"):
        with pytest.raises(ConfigurationError, match=r"^HARMONY_SOURCE_ALLOW="):
            parse_policy(text)
    assert parse_policy(" , ").may_ask("any")


def test_a_url_is_checked_before_it_is_asked() -> None:
    for url in ("http://127.0.0.1:9090", "http://[::1]:9090", "http://169.254.169.254/"):
        with pytest.raises(ConfigurationError, match=r"^X: .*HARMONY_SOURCE_ALLOW"):
            check_url(url, parse_policy(""), "X")
    with pytest.raises(ConfigurationError):
        check_url("http://other:9090", parse_policy("prometheus"), "X")
    check_url("http://127.0.0.1:9090", parse_policy("127.0.0.0/8"), "X")
    check_url("http://prometheus:9090", parse_policy(""), "X")


class Server:
    """Answers on loopback with the Host header that it was asked with; /away redirects."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.n_requests = 0


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.n_requests += 1
            body = self.headers["Host"].encode()
            self.send_response(302 if self.path == "/away" else 200)
            self.send_header("Location", "http://169.254.169.254/")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http_server:
        found = Server(http_server.server_address[1])
        thread = threading.Thread(target=http_server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        http_server.shutdown()
        thread.join()


def client(allow: str, *answers: list[str]) -> httpx.Client:
    """A guarded client whose names resolve to one answer after the other."""
    queue = list(answers)
    policy = parse_policy(allow)
    return httpx.Client(
        transport=GuardedTransport(policy, resolve=lambda host, port: queue.pop(0)),
        trust_env=False,
    )


def test_the_connection_goes_to_the_address_that_was_checked(server: Server) -> None:
    url = f"http://prometheus.test:{server.port}/x"
    with client("127.0.0.1", ["127.0.0.1"]) as guarded:
        answer = guarded.get(url)
        assert answer.text == f"prometheus.test:{server.port}"  # the name stays in Host
    with client("", ["127.0.0.1"]) as guarded, pytest.raises(SourceForbidden, match=r"127\.0\.0"):
        guarded.get(url)
    assert server.n_requests == 1


def test_a_name_that_changes_its_address_is_refused_then(server: Server) -> None:
    url = f"http://rebound.test:{server.port}/x"
    with client("127.0.0.1", ["127.0.0.1"], ["127.0.0.2"], ["169.254.169.254"]) as guarded:
        assert guarded.get(url).status_code == 200
        for _ in range(2):  # the open connection is not used for the new address either
            with pytest.raises(SourceForbidden):
                guarded.get(url)


def test_one_forbidden_address_among_others_is_one_too_many(server: Server) -> None:
    url = f"http://mixed.test:{server.port}/x"
    with (
        client("127.0.0.1", ["127.0.0.1", "169.254.169.254"]) as guarded,
        pytest.raises(SourceForbidden, match=r"169\.254"),
    ):
        guarded.get(url)
    assert server.n_requests == 0


def test_redirects_are_not_followed(server: Server) -> None:
    with client("127.0.0.1", ["127.0.0.1"]) as guarded:
        assert guarded.get(f"http://p.test:{server.port}/away").status_code == 302


def test_the_next_address_is_tried_where_one_does_not_answer(server: Server) -> None:
    with client("127.0.0.0/8", ["127.0.0.9", "127.0.0.1"]) as guarded:
        assert guarded.get(f"http://p.test:{server.port}/x").status_code == 200
    with client("127.0.0.0/8", []) as guarded, pytest.raises(SourceForbidden, match="no address"):
        guarded.get(f"http://p.test:{server.port}/x")


def test_numbers_in_disguise_are_resolved_like_names(server: Server) -> None:
    """`0x7f.1` and `2130706433` are 127.0.0.1 to the resolver."""
    guarded = httpx.Client(transport=GuardedTransport(parse_policy("")), trust_env=False)
    with guarded:
        for host in ("2130706433", "0x7f.1", "127.1", "localhost"):
            with pytest.raises(httpx.TransportError):
                guarded.get(f"http://{host}:{server.port}/x")
    assert server.n_requests == 0
