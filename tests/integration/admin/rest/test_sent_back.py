"""What was read may be sent back: nothing changes, and what cannot be set is refused by name."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from sqlalchemy import Engine, text

from tests.integration.admin.app_client import AppClient
from tests.integration.admin.llama_api import LLAMA, SHIFT, count
from tests.integration.admin.registration.rest_workload import BODY

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]
CHAT = "/v1/workloads/lab/chat"
ONE = "/v1/workloads/{namespace}/{name}"
PAUSE = {"direction": "ScaleIn", "until_at": "2030-01-01T00:00:00+02:00", "reason": "test"}
SETS: dict[str, tuple[str, str, Any]] = {
    f"{LLAMA}/policy": ("PATCH", f"{LLAMA}/policy", {"max_replicas": 30}),
    f"{LLAMA}/pause": ("PUT", f"{LLAMA}/pause", PAUSE),
    f"{LLAMA}/schedules": ("PUT", f"{LLAMA}/schedules", {"schedules": [SHIFT]}),
    f"{CHAT}/spec": ("PUT", CHAT, {"spec": BODY["spec"]}),
}
"""By what is read: how it is written, and a change that the document is to hold."""


@pytest.fixture(autouse=True)
def chat(admin: AppClient) -> None:
    assert admin.post("/v1/workloads", json=BODY).status_code == 201


def write(client: AppClient, path: str, body: Any, etag: str = "*") -> Any:
    method, target, _ = SETS[path]
    return client.request(method, target, json=body, headers={"If-Match": etag})


def test_every_document_that_is_read_by_version_and_written_is_here(admin: AppClient) -> None:
    paths = admin.get("/openapi.json").json()["paths"]
    tagged = {
        path
        for path, routes in paths.items()
        if "ETag" in routes.get("get", {}).get("responses", {}).get("200", {}).get("headers", {})
    }
    written = {path for path in tagged if {"put", "patch"} & paths[path].keys()}
    assert written | {f"{ONE}/spec"} == {
        path.replace(LLAMA, ONE).replace(CHAT, ONE) for path in SETS
    }
    assert tagged - written == {f"{ONE}/spec", "/v1/models/{version}"}  # nobody writes a model


@pytest.mark.parametrize("path", SETS)
@pytest.mark.parametrize("is_set", [False, True], ids=["as it was", "set here"])
def test_what_was_read_is_sent_back_and_nothing_changes(
    admin: AppClient, database: Engine, path: str, is_set: bool
) -> None:
    if is_set:
        assert write(admin, path, SETS[path][2]).status_code == 200
    read, n_entries = admin.get(path), count(database, "audit")
    answer = write(admin, path, read.json(), read.headers["ETag"])
    assert (answer.status_code, answer.json()) == (200, read.json()), answer.text
    assert answer.headers["ETag"] == read.headers["ETag"]
    again = admin.get(path)
    assert (again.headers["ETag"], again.json()) == (read.headers["ETag"], read.json())
    assert count(database, "audit") == n_entries


def test_the_part_that_is_written_may_be_sent_by_itself(admin: AppClient) -> None:
    for path in (f"{CHAT}/spec", f"{LLAMA}/schedules"):
        read, name = admin.get(path), path.rsplit("/", 1)[1]
        answer = write(admin, path, {name: read.json()[name]}, read.headers["ETag"])
        assert (answer.status_code, answer.json()[name]) == (200, read.json()[name]), answer.text


def test_a_change_of_what_was_read_is_made(admin: AppClient) -> None:
    read = admin.get(f"{CHAT}/spec").json()
    read["spec"]["max_replicas"] = 20
    answer = write(admin, f"{CHAT}/spec", read, '"1"')
    assert (answer.status_code, answer.json()["spec"]) == (200, read["spec"])
    read = admin.get(f"{LLAMA}/schedules").json()
    assert read["source"] == "kubernetes"
    answer = write(admin, f"{LLAMA}/schedules", read | {"schedules": [SHIFT]})
    assert (answer.status_code, answer.json()["source"]) == (200, "api")
    read = admin.get(f"{LLAMA}/policy").json()
    answer = write(admin, f"{LLAMA}/policy", read | {"max_replicas": 31})
    assert answer.json()["overrides"] == {"max_replicas": 31}


def test_a_document_without_what_only_a_read_has_is_set_whoever_says_so_already(
    admin: AppClient, database: Engine
) -> None:
    """It holds from then on, whatever becomes of the GPUAutoscaler."""
    with database.begin() as connection:
        statement = text(
            "UPDATE workloads SET spec = jsonb_set(spec, '{schedules}', "
            "CAST(:schedules AS jsonb)) WHERE name = 'llama-70b-chat'"
        )
        connection.execute(statement, {"schedules": json.dumps([SHIFT])})
    read = admin.get(f"{LLAMA}/schedules").json()
    assert [one["name"] for one in read["schedules"]] == [SHIFT["name"]]
    assert write(admin, f"{LLAMA}/schedules", read).json()["source"] == "kubernetes"
    answer = write(admin, f"{LLAMA}/schedules", {"schedules": [SHIFT]})
    assert (answer.json()["source"], answer.json()["version"]) == ("api", 1)


def test_what_the_object_holds_is_not_made_a_pause_by_sending_it_back(
    admin: AppClient, database: Engine
) -> None:
    with database.begin() as connection:
        connection.execute(text("UPDATE workloads SET spec = spec || '{\"paused\": true}'"))
    read = admin.get(f"{LLAMA}/pause").json()
    assert (read["direction"], read["source"]) == ("Both", "kubernetes")
    assert write(admin, f"{LLAMA}/pause", read).json() == read
    assert count(database, "workload_controls") == 0


@pytest.mark.parametrize(
    ("path", "place", "value", "said"),
    [
        (f"{CHAT}/spec", "/spec/mode", "Auto", 'is "Advisory"; .* let a GPUAutoscaler'),
        (f"{CHAT}/spec", "/spec/target", "Deployment/chat", 'is "External/chat"'),
        (f"{CHAT}/spec", "/spec/pools", [{"name": "x"}], r"pools=\[{\"name\": \"x\"}\]: .* \[\]"),
        (f"{CHAT}/spec", "/spec/paused", True, "paused=true: cannot be set here and is false"),
        (f"{CHAT}/spec", "/is_active", False, "remove it with DELETE"),
        (f"{CHAT}/spec", "/name", "talk", "with POST"),
        (f"{CHAT}/spec", "/spec_version", 9, "is 1; leave it out"),
        (f"{LLAMA}/policy", "/in_force", {"max_replicas": 3}, "by themselves, as max_replicas"),
        (f"{LLAMA}/policy", "/sla_class", "bronze", "the GPUAutoscaler sets"),
        (f"{LLAMA}/schedules", "/source", "api", "DELETE brings"),
        (f"{LLAMA}/pause", "/version", 7, "is 1; leave it out"),
        (f"{LLAMA}/pause", "/is_paused", False, "resume with DELETE"),
        (f"{LLAMA}/pause", "/direction", None, "must be Both, ScaleIn or ScaleOut; resume with"),
    ],
)
def test_what_cannot_be_set_is_refused_where_it_is_another(
    admin: AppClient, path: str, place: str, value: object, said: str
) -> None:
    if path.endswith("pause"):
        assert write(admin, path, PAUSE).status_code == 200
    read = admin.get(path).json()
    changed = admin.get(path).json()
    inner, name = changed, place.rsplit("/", 1)[1]
    if place.startswith("/spec/"):
        inner = changed["spec"]
    inner[name] = value
    answer = write(admin, path, changed)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input"), answer.text
    assert answer.json()["errors"][0]["pointer"] == place
    assert answer.json()["detail"].startswith(f"{name}=")
    assert re.search(said, answer.json()["detail"]), answer.text
    assert admin.get(path).json() == read


def test_a_field_that_no_read_has_is_none(admin: AppClient) -> None:
    for path, (_, _, body) in SETS.items():
        answer = write(admin, path, body | {"modes": "Auto"})
        found = answer.json()["errors"][0]
        assert (answer.status_code, found["message"]) == (422, "no field of this name"), path
    spec = BODY["spec"] | {"modes": "Auto"}
    answer = write(admin, f"{CHAT}/spec", {"spec": spec})
    assert answer.json()["errors"][0]["pointer"] == "/spec/modes"
