"""The application on a socket, and a client of it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import httpx
import pytest
import uvicorn
from sqlalchemy import Engine

from services.admin.app import make_app
from services.admin.deps import AdminDeps
from services.kernel.security.keys import Role, create_key
from tests.integration.admin.events.event_stream import DEADLINE_S
from tests.integration.admin.seeded_fleet import NOW


@pytest.fixture
def address(deps: AdminDeps) -> Iterator[str]:
    """The application on a socket of loopback."""
    # it listens at once, so that who comes before the server has started waits for it
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(make_app(deps), log_config=None, lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(timeout=DEADLINE_S)
        assert not thread.is_alive()


@pytest.fixture
def client(address: str, database: Engine) -> Iterator[httpx.Client]:
    """A client with a viewer's key of the namespaces diffusion and llm-prod."""
    with database.begin() as connection:
        names = ["diffusion", "llm-prod"]
        token = create_key(connection, "reader", Role.VIEWER, NOW, None, names).token
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=address, headers=headers, timeout=DEADLINE_S) as found:
        yield found
