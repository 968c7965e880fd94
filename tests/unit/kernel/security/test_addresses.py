"""Addresses of clients behind proxies, and the name that a limit counts them by."""

from __future__ import annotations

import ipaddress

import pytest

from services.kernel.errors import ConfigurationError
from services.kernel.security.addresses import (
    client_of,
    limited_name,
    parse_address,
    parse_networks,
)

TRUSTED = parse_networks("10.0.0.0/8, 127.0.0.1,fd00::/8", "X")


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),  # who is no proxy is not believed
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.2.3.4, 198.51.100.1"], "198.51.100.1"),  # the left is what anyone wrote
        ("10.0.0.1", ["1.2.3.4", "198.51.100.1, 10.2.3.4"], "198.51.100.1"),
        ("10.0.0.1", ["10.9.9.9"], "10.9.9.9"),
        ("10.0.0.1", ["1.2.3.4, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["1.2.3.4, nonsense, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("fd00::1", ["2001:db8::7"], "2001:db8::7"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("unix", ["198.51.100.1"], "unix"),
    ],
)
def test_the_client_is_the_last_that_no_proxy_stands_for(
    peer: str, forwarded: list[str], expected: str
) -> None:
    assert client_of(peer, forwarded, TRUSTED) == expected


def test_networks_that_are_none_are_named() -> None:
    for text in ("10.0.0.0/33", "everyone", "10.0.0.1/8"):
        with pytest.raises(ConfigurationError, match=r"HARMONY_TRUSTED_PROXIES=.*10\.0\.0\.0/8"):
            parse_networks(text, "HARMONY_TRUSTED_PROXIES")
    assert parse_networks(" , ", "X") == ()


def test_a_customer_counts_once() -> None:
    assert limited_name("2001:db8::1") == limited_name("2001:db8::ffff:1") == "2001:db8::/64"
    assert limited_name("2001:db8:0:1::1") != limited_name("2001:db8::1")
    assert limited_name("::ffff:1.2.3.4") == limited_name("1.2.3.4") == "1.2.3.4"
    assert limited_name("testclient") == "testclient"
    assert parse_address("[::1]") == ipaddress.ip_address("::1")
