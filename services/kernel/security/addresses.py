"""Addresses of networks: read from text, found behind proxies, named for limits."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from services.kernel.errors import ConfigurationError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_networks(text: str, name: str) -> tuple[Network, ...]:
    """Networks and addresses, separated by commas.

    Raises:
        ConfigurationError: One of them is none; `name` is the variable.
    """
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise ConfigurationError(
            f"{name}={text!r}: {error}; it must list networks, e.g. 10.0.0.0/8,192.168.1.7"
        ) from error


def parse_address(text: str) -> Address | None:
    """An IP address, an IPv4 one also where it is written as IPv6; None: it is none."""
    try:
        found = ipaddress.ip_address(text.strip().strip("[]"))
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def client_of(peer: str, forwarded: Iterable[str], trusted: tuple[Network, ...]) -> str:
    """The address that asks: the last one that no trusted proxy stands for.

    Args:
        peer: Who is connected.
        forwarded: Values of X-Forwarded-For, first to last; the last one was added by the peer.
        trusted: Networks of proxies whose word is taken.
    """
    shown = peer
    for hop in reversed([part for value in forwarded for part in value.split(",")]):
        address = parse_address(shown)
        if address is None or not any(address in network for network in trusted):
            break
        found = parse_address(hop)
        if found is None:
            break
        shown = str(found)
    return shown


def limited_name(address: str) -> str:
    """Name that a limit counts an address by: of IPv6 the /64 that one customer gets."""
    found = parse_address(address)
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found or address)
