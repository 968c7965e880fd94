"""What a run makes once for all tests: it is the same each time, and programs make it anew."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import orjson
import pytest


@pytest.fixture(scope="session", autouse=True)
def programs_built_once() -> Iterator[None]:
    """Build the commands of a program once for all calls of it: typer does so at each, in 70 ms."""
    from typer import main, testing

    built = cache(main.get_command)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(main, "get_command", built)
        patch.setattr(testing, "_get_command", built)
        yield


@pytest.fixture(scope="session", autouse=True)
def authorities_read_once() -> Iterator[None]:
    """Read whom the machine trusts once for all HTTP clients: each would do so, in 10 ms.

    Whoever names authorities or a certificate of its own still has a context of its own.
    """
    from httpx._transports import default

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(default, "create_ssl_context", _kept(default.create_ssl_context))
        yield


def _kept(make: Callable[..., ssl.SSLContext]) -> Callable[..., ssl.SSLContext]:
    made: dict[tuple[Any, ...], ssl.SSLContext] = {}

    def kept(verify: Any = True, cert: Any = None, trust_env: bool = True) -> ssl.SSLContext:
        if verify is not True or cert is not None:
            return make(verify=verify, cert=cert, trust_env=trust_env)
        key = (trust_env, os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
        if key not in made:
            made[key] = make(verify=verify, cert=cert, trust_env=trust_env)
        return made[key]

    return kept


@contextmanager
def documents_made_once() -> Iterator[None]:
    """Let FastAPI describe the same routes once: it takes a second, for each application anew.

    What an application then makes of the description is still its own.
    """
    from fastapi import applications

    made: dict[tuple[Any, ...], bytes] = {}
    make = applications.get_openapi

    def kept(**given: Any) -> dict[str, Any]:
        if not all(hasattr(route, "path") for route in given["routes"]):
            return make(**given)  # of routes that are themselves not made yet nothing is known
        routes = tuple((r.path, r.name, str(getattr(r, "methods", ""))) for r in given["routes"])
        others = {name: value for name, value in given.items() if name != "routes"}
        key = (routes, repr(others))
        if key not in made:
            made[key] = orjson.dumps(make(**given))
        return dict(orjson.loads(made[key]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(applications, "get_openapi", kept)
        yield
