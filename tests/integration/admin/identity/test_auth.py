"""Every route of the OpenAPI document x every role x where the role holds x no credential."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine

from services.admin.identity.needs import OPEN_PATHS
from services.kernel.security.keys import Role, create_key
from tests.integration.admin.app_client import AppClient
from tests.integration.admin.seeded_fleet import NOW

pytestmark = pytest.mark.integration


OWN, FOREIGN = "llm-prod", "elsewhere"


THERE = {"namespace": OWN, "name": "llama-70b-chat", "decision_id": "100000", "gpu_type": "H100"}
NOWHERE = str(2**30)
SEEDED = ("llama-70b-chat", "mixtral-agents", "sdxl-turbo")
PLACES = {"fleet": None, "own": [OWN], "foreign": [FOREIGN]}
Operation = tuple[str, str, dict[str, Any]]


def operations(client: AppClient) -> Iterator[Operation]:
    """(method, path with its parameters filled in, operation) of everything under /v1."""
    document = client.get("/openapi.json").json()
    for template, by_method in document["paths"].items():
        for method, operation in by_method.items():
            if template in OPEN_PATHS:
                continue
            names = [p["name"] for p in operation.get("parameters", []) if p["in"] == "path"]
            known = THERE if method == "get" else {"namespace": OWN, "name": THERE["name"]}
            filled = {name: known.get(name, NOWHERE) for name in names}
            yield method.upper(), template.format(**filled), operation


def is_allowed(operation: dict[str, Any], role: Role, place: str) -> bool:
    """What the document says of a credential with `role` in `place`."""
    if not role.includes(Role(operation["x-required-role"])):
        return False
    admitted = {"fleet": {"fleet"}, "namespace": {"fleet", "own"}, "own": set(PLACES)}
    return place in admitted[operation["x-role-scope"]]


def is_stream(operation: dict[str, Any]) -> bool:
    """An admitted caller of a stream is never answered to the end."""
    return "text/event-stream" in str(operation["responses"])


@pytest.fixture
def tokens(database: Engine) -> dict[tuple[Role, str], str]:
    """A key of each role in each place."""
    with database.begin() as connection:
        return {
            (role, place): create_key(
                connection, f"{role} {place}", role, NOW, None, namespaces
            ).token
            for role in Role
            for place, namespaces in PLACES.items()
        }


def send(client: AppClient, method: str, path: str, token: str) -> Any:
    body = {} if method == "GET" else {"json": {}}
    return client.request(method, path, headers={"Authorization": f"Bearer {token}"}, **body)


@pytest.mark.usefixtures("seeded")
def test_each_credential_may_what_the_document_says_and_no_more(
    anonymous: AppClient, tokens: dict[tuple[Role, str], str]
) -> None:
    found = list(operations(anonymous))
    assert len(found) >= 20
    for method, path, operation in found:
        nobody = anonymous.request(method, path)
        assert nobody.status_code == 401, (method, path)
        assert nobody.headers["www-authenticate"].startswith("Bearer")
        for (role, place), token in tokens.items():
            allowed = is_allowed(operation, role, place)
            if allowed and is_stream(operation):
                continue
            answer = send(anonymous, method, path, token)
            told = (method, path, role, place, answer.status_code, answer.text[:200])
            if not allowed:
                assert answer.status_code == 403, told
                assert answer.json()["code"] == "forbidden", told
                continue
            assert answer.status_code not in {401, 403}, told
            assert answer.status_code < 500, told
            if place == "foreign":
                assert not any(name in answer.text for name in SEEDED), told
            elif method == "GET":
                assert answer.status_code in {200, 404}, told


@pytest.mark.usefixtures("seeded")
def test_a_namespaced_reader_sees_its_own_and_all_of_it(
    anonymous: AppClient, tokens: dict[tuple[Role, str], str]
) -> None:
    """Lists of one namespace are those of the fleet without the others' items."""
    for path in ("workloads", "decisions?limit=500", "actions?limit=500", "outcomes?limit=500"):
        own = send(anonymous, "GET", f"/v1/{path}", tokens[Role.VIEWER, "own"]).json()["items"]
        every = send(anonymous, "GET", f"/v1/{path}", tokens[Role.VIEWER, "fleet"]).json()["items"]
        assert own == [item for item in every if item["namespace"] == OWN], path
        assert 0 < len(own) < len(every), path
        none = send(anonymous, "GET", f"/v1/{path}", tokens[Role.ADMIN, "foreign"])
        assert none.json() == {"items": [], "next_cursor": None}, path


@pytest.mark.usefixtures("seeded")
def test_whether_something_foreign_exists_is_not_told(
    anonymous: AppClient, tokens: dict[tuple[Role, str], str]
) -> None:
    token = tokens[Role.ADMIN, "foreign"]
    for there, absent in (
        (f"/v1/workloads/{OWN}/llama-70b-chat", f"/v1/workloads/{OWN}/none"),
        (f"/v1/decisions?workload={OWN}/llama-70b-chat", f"/v1/decisions?workload={OWN}/none"),
        (f"/v1/workloads?namespace={OWN}", "/v1/workloads?namespace=none"),
        ("/v1/decisions/100000", "/v1/decisions/424242"),
    ):
        answers = [send(anonymous, "GET", path, token) for path in (there, absent)]
        bodies = [answer.text.replace("100000", "X").replace("424242", "X") for answer in answers]
        assert answers[0].status_code in {403, 404}, there
        assert answers[0].status_code == answers[1].status_code, there
        assert bodies[0] == bodies[1]


def test_the_fleet_is_no_namespace(
    anonymous: AppClient, tokens: dict[tuple[Role, str], str]
) -> None:
    for place in PLACES:
        token = tokens[Role.ADMIN, place]
        assert send(anonymous, "GET", "/v1/workloads/*/x", token).status_code == 403, place


@pytest.mark.usefixtures("seeded")
def test_pages_of_the_console_show_a_namespace_its_own(
    anonymous: AppClient, tokens: dict[tuple[Role, str], str]
) -> None:
    form = {"key": tokens[Role.ADMIN, "foreign"]}
    origin = {"Origin": "http://console.test"}
    assert anonymous.post("/login", data=form, headers=origin).status_code == 303
    anonymous.headers["Accept"] = "text/html"
    for path in ("/", "/fleet"):
        page = anonymous.get(path)
        assert page.status_code == 200
        assert not any(name in page.text for name in SEEDED)
    own = f"/workloads/{OWN}/llama-70b-chat"
    for path in (own, f"{own}/live", f"{own}/timeline"):
        assert anonymous.get(path).status_code == 403, path
    assert anonymous.get("/decisions/100000").status_code == 404
