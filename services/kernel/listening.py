"""A socket for a server to listen on, and the line that reports its address.

With port 0 the system gives the process a free port, so no one can take it between its choice and
its use; whoever starts the process reads the port from the line.
"""

from __future__ import annotations

import re
import socket
import sys

from services.kernel.errors import ConfigurationError

HEAD_S = 20.0
"""Seconds that the head of a request has to arrive at any HTTP server."""

_REPORTED = re.compile(r"^(?P<server>.+) listens on (?P<address>\S+)\n", re.MULTILINE)


def listen(host: str, port: int, variable: str) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Args:
        host: Address to bind to.
        port: Port to bind to.
        variable: Setting that gave the port, for the error.

    Raises:
        ConfigurationError: The address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named so that asyncio turns Nagle's delay off.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"HARMONY_HOST={host!r} {variable}={port}: cannot listen there ({error.strerror}); "
            "end the process that uses it, or choose another"
        ) from error
    return listener


def authority(host: str, port: int) -> str:
    """`host:port` as URLs write it: an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def report_address(server: str, host: str, port: int, scheme: str = "http://") -> None:
    """Report on stdout where a server takes requests from now on, at every log level.

    Args:
        server: Name of the server.
        host: Address that it is bound to.
        port: Port that it has.
        scheme: What goes before them; empty for a protocol without URLs.
    """
    # written at once: a log line of another thread must not come between the line and its end
    sys.stdout.write(f"{server} listens on {scheme}{authority(host, port)}\n")
    sys.stdout.flush()


def find_address(output: str, server: str) -> str | None:
    """The address that `report_address` wrote into `output`; None: not yet."""
    found = (line["address"] for line in _REPORTED.finditer(output) if line["server"] == server)
    return next(found, None)
