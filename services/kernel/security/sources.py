"""A guard against server-side request forgery: which servers a URL may lead this process to.

Names are resolved here, every address is checked, and the connection goes to the address that was
checked: a name that turns to another address between check and use (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpx

from services.kernel.errors import ConfigurationError
from services.kernel.security.addresses import Address, Network, parse_address

Resolve = Callable[[str, int], Sequence[str]]

# Inside ordinary ranges, but what answers there hands out credentials of the machine.
_METADATA = tuple(
    ipaddress.ip_network(text)
    for text in (
        "fd00:ec2::254/128",  # AWS; the others' are link-local, or these
        "fd20:ce::254/128",  # Google Cloud
        "100.100.100.200/32",  # Alibaba Cloud
        "168.63.129.16/32",  # Azure
        "192.0.0.192/32",  # Oracle Cloud
    )
)
_LOCALHOST = ("127.0.0.0/8", "::1/128")


class SourceForbidden(httpx.TransportError):
    """A URL leads to where this process must not go."""


@dataclass(frozen=True, slots=True)
class SourcePolicy:
    """Hosts and addresses that URLs of sources may lead to.

    Attributes:
        names: Host names that are allowed, `*.suffix` for all below one; with `networks` empty too:
            any.
        networks: Addresses that are allowed, also those that are refused unless they are listed
            (this machine, link-local and metadata addresses, multicast).
    """

    names: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    def may_ask(self, host: str) -> bool:
        """Check whether the list allows a host by its name, or leaves that to its addresses."""
        is_open = not self.names and not self.networks
        if is_open or parse_address(host) is not None or self.networks:
            return True
        return self.is_named(host)

    def is_named(self, host: str) -> bool:
        """Check whether a name of the list covers `host`."""
        name = host.lower().rstrip(".")
        suffixes = [entry[1:] for entry in self.names if entry.startswith("*.")]
        return name in self.names or any(name.endswith(suffix) for suffix in suffixes)

    def may_reach(self, host: str, address: Address) -> bool:
        """Check whether a connection to `address` may be made for `host`."""
        if any(address in network for network in self.networks):
            return True
        is_listed = self.is_named(host) or (not self.names and not self.networks)
        return is_listed and not any(is_special(one) for one in embedded(address))


def parse_policy(text: str) -> SourcePolicy:
    """The policy of `HARMONY_SOURCE_ALLOW`: host names, `*.suffix`, addresses and networks.

    Raises:
        ConfigurationError: An entry is none of these.
    """
    names: set[str] = set()
    networks: list[Network] = []
    for entry in (part.strip().lower().rstrip(".") for part in text.split(",") if part.strip()):
        try:
            networks.append(ipaddress.ip_network(entry))
            continue
        except ValueError:
            pass  # then it is a name
        bare = entry.removeprefix("*.")
        if not bare or not all(char.isalnum() or char in "-._" for char in bare):
            raise ConfigurationError(
                f"HARMONY_SOURCE_ALLOW={text!r}: {entry!r} must be a host name, *.suffix, an "
                "address or a network, e.g. prometheus.monitoring.svc,*.example.org,10.0.0.0/8"
            )
        names.add(entry)
        if entry == "localhost":
            networks += [ipaddress.ip_network(network) for network in _LOCALHOST]
    return SourcePolicy(frozenset(names), tuple(networks))


def embedded(address: Address) -> list[Address]:
    """The address, and IPv4 addresses that an IPv6 one leads to through a tunnel.

    Those of NAT64 are reserved, and so refused themselves.
    """
    found: list[Address] = [address]
    if isinstance(address, ipaddress.IPv6Address):
        found += [one for one in (address.ipv4_mapped, address.sixtofour) if one is not None]
        found += list(address.teredo or ())
    return found


def is_special(address: Address) -> bool:
    """Check whether an address is local, link-local, metadata's, multicast or no host's."""
    return (
        address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address.is_reserved
        or any(address in network for network in _METADATA)
    )


def check_url(url: str, policy: SourcePolicy, name: str) -> None:
    """Refuse a URL that may not be asked, as far as it shows itself; no name is resolved.

    Raises:
        ConfigurationError: It may not; `name` is the variable that holds it.
    """
    host = httpx.URL(url).host
    address = parse_address(host)
    is_refused = address is not None and not policy.may_reach(host, address)
    if is_refused or not policy.may_ask(host):
        raise ConfigurationError(
            f"{name}: {host!r} may not be asked; if that is meant, add it to HARMONY_SOURCE_ALLOW"
        )


def resolve_name(host: str, port: int) -> list[str]:
    """Addresses of a host.

    Raises:
        OSError: It has none.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class GuardedTransport(httpx.BaseTransport):
    """Connects to addresses that the policy allows, and to no others."""

    def __init__(
        self,
        policy: SourcePolicy,
        resolve: Resolve = resolve_name,
    ) -> None:
        """Guard a plain connection."""
        self._policy = policy
        self._inner = httpx.HTTPTransport(trust_env=False)
        self._resolve = resolve

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request to one of its host's addresses.

        Raises:
            SourceForbidden: The policy allows none of them.
        """
        host = request.url.host
        last: httpx.ConnectError | None = None
        for address in self._allowed(host, request.url.port or 443):
            pinned = httpx.Request(
                request.method,
                request.url.copy_with(host=address),
                headers=request.headers,  # Host stays what the URL says
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": host},
            )
            try:
                return self._inner.handle_request(pinned)
            except httpx.ConnectError as error:
                last = error
        raise last or SourceForbidden(f"{host!r} has no address")

    def close(self) -> None:
        """Close the connections."""
        self._inner.close()

    def _allowed(self, host: str, port: int) -> list[str]:
        """Addresses to connect to: all of the host's, or none where one is forbidden."""
        if not self._policy.may_ask(host):
            raise SourceForbidden(f"{host!r} is not in HARMONY_SOURCE_ALLOW")
        try:
            found = self._resolve(host, port)
        except OSError as error:
            raise httpx.ConnectError(f"{host!r} cannot be resolved: {error}") from error
        for text in found:
            address = parse_address(text.partition("%")[0])
            if address is None or not self._policy.may_reach(host, address):
                raise SourceForbidden(
                    f"{host!r} is {text}, which may not be asked; if that is meant, add it to "
                    "HARMONY_SOURCE_ALLOW"
                )
        return list(found)
