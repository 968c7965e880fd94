"""Every request of the documents is sent, as bash gives it to curl, and is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import Engine

from services.admin.app import make_app
from services.admin.deps import AdminDeps
from services.ingest.api import make_app as make_ingest
from services.ingest.deps import IngestDeps
from services.kernel.jobs import RecordingSender
from services.kernel.security.keys import Role, create_key
from tests.integration.admin.app_client import AppClient
from tests.integration.admin.seeded_fleet import NOW, Seeded
from tests.unit.docs import shell
from tests.unit.docs.blocks import all_blocks, in_language
from tests.unit.docs.calls import request

pytestmark = pytest.mark.integration

BLOCKS = [block for block in in_language("sh") if "curl " in block.text]
TOKEN = "hk_push"
REGISTERS = "-X POST localhost:8080/v1/workloads"
Send = Callable[[list[str], Path], httpx.Response]


@pytest.fixture
def send(
    deps: AdminDeps, seeded: Seeded, database: Engine, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Send]:
    """Sends what curl was asked to send, to the API of the port that it names."""
    with database.begin() as connection:
        key = create_key(connection, "reader", Role.ADMIN, NOW).token
    monkeypatch.setattr(shell, "given", lambda: GIVEN | {"HARMONY_KEY": key})
    settings = deps.settings.model_copy(update={"push_token": SecretStr(TOKEN)})
    ingest = IngestDeps(deps.engine, deps.clock, RecordingSender(), settings)
    with ExitStack() as stack:
        apps: dict[int, FastAPI] = {8080: make_app(replace(deps)), 8081: make_ingest(ingest)}
        clients = {port: stack.enter_context(AppClient(app)) for port, app in apps.items()}

        def sent(arguments: list[str], folder: Path) -> httpx.Response:
            asked = request(arguments)
            address = urlsplit(asked["url"] if "://" in asked["url"] else f"http://{asked['url']}")
            content = asked["content"]
            if content and content.startswith("@"):
                content = (folder / content[1:]).read_text()
            path = f"{address.path}?{address.query}" if address.query else address.path
            client = clients[address.port or 8080]
            return client.request(asked["method"], path, headers=asked["headers"], content=content)

        yield sent


GIVEN = shell.given()


def of_now(text: str) -> str:
    """A push with times of now, as its page asks for; of a back-fill they stay what they are."""
    minutes = {"2026-01-05T00:00:00Z": 58, "2026-01-05T00:01:00Z": 59}
    for shown, minute in minutes.items():
        text = text.replace(shown, f"2026-01-06T11:{minute}:00Z")
    return text


def test_the_requests_are_taken_in_the_order_of_a_page(send: Send, tmp_path: Path) -> None:
    """A workload is registered, its past and its counts are sent, it is read and replayed."""
    in_order = sorted(BLOCKS, key=lambda block: REGISTERS not in block.text)
    for n, block in enumerate(in_order):
        folder = tmp_path / str(n)
        folder.mkdir()
        (table,) = (b for b in all_blocks() if b.text.startswith("time,"))
        (folder / "history.csv").write_text(table.text)
        (call,) = (c for c in shell.run(of_now(block.text), folder) if c.program == "curl")
        answer = send(list(call.arguments), folder)
        assert answer.status_code in {200, 201, 202}, f"{block}: {answer.text}"
        content = answer.json()
        refused = content.get("rejected") if isinstance(content, dict) else None
        assert not refused, f"{block}: {refused}"


def test_there_are_requests_to_both_apis() -> None:
    assert len(BLOCKS) >= 6
    assert {port for b in BLOCKS for port in ("8080", "8081") if port in b.text} == {"8080", "8081"}
