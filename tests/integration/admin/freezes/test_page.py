"""The freezes' page: made and ended; what is wrong stands beside its field."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import Engine

from services.admin.deps import AdminDeps
from services.admin.workloads import service
from services.kernel.security.keys import Role
from tests.integration.admin.console_forms import beside
from tests.integration.admin.console_visitor import audited, person

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]
KEY = "llm-prod/llama-70b-chat"


def test_freezes_are_made_and_ended(deps: AdminDeps, database: Engine) -> None:
    with person(deps, Role.OPERATOR) as human:
        assert "No freeze has been made yet" in human.get("/freezes").text
        for scope in (KEY, "diffusion/", "*"):
            form = {"scope": scope, "until_at": "2026-01-08T08:30", "reason": "load <test>"}
            done = human.send("/freezes", form)
            assert done.headers["location"] == "/freezes?done=frozen", done.text
        later = {"scope": KEY, "from_at": "2026-01-10T00:00", "direction": "ScaleDown"}
        human.send("/freezes", later | {"until_at": "2026-01-11T00:00"})
        page = human.get("/freezes").text
        for words in (
            "all of diffusion",
            "the whole fleet",
            "no decreases",
            "To come",
            "8 Jan 08:30",
            "load &lt;test&gt;",
        ):
            assert words in page, words
        ids = re.findall(r'action="/freezes/(\d+)/lift"', page)
        assert len(ids) == 4
        assert human.send(f"/freezes/{ids[0]}/lift").headers["location"] == "/freezes?done=lifted"
        assert "Ended early" in human.get("/freezes").text
        twice = human.send(f"/freezes/{ids[0]}/lift")
        assert (twice.status_code, "has ended already" in twice.text) == (409, True)
    assert [action for _, action, _ in audited(database)] == [
        *["freeze.create"] * 4,
        "freeze.lift",
    ]


@pytest.mark.parametrize(
    ("form", "name", "words"),
    [
        ({}, "scope", "must be a workload"),
        ({"scope": "llm-prod", "until_at": "2026-02-01T00:00"}, "scope", "a namespace as name"),
        (
            {"scope": "llm-prd/", "until_at": "2026-02-01T00:00"},
            "scope",
            "llm-prd/: must be a namespace with workloads",
        ),
        ({"scope": "Prod!/", "until_at": "2026-02-01T00:00"}, "scope", "Prod!: must be lower-case"),
        ({"scope": KEY}, "until_at", "must be a time in UTC"),
        ({"scope": KEY, "until_at": "soon"}, "until_at", "soon: must be a time in UTC"),
        ({"scope": KEY, "until_at": "2026-01-05T00:00"}, "until_at", "must be after now"),
        (
            {"scope": KEY, "from_at": "2026-02-02T00:00", "until_at": "2026-02-01T00:00"},
            "until_at",
            "must be after from_at",
        ),
        (
            {"scope": KEY, "until_at": "2026-02-01T00:00", "direction": "Up"},
            "direction",
            "Up: must be",
        ),
    ],
)
def test_a_freeze_that_cannot_be_is_said_beside_its_field(
    deps: AdminDeps, database: Engine, form: dict[str, str], name: str, words: str
) -> None:
    with person(deps, Role.OPERATOR) as human:
        assert words in beside(human.send("/freezes", form), name)
    assert audited(database) == []


def test_a_freeze_ends_at_the_namespaces_of_its_maker(deps: AdminDeps, database: Engine) -> None:
    until = {"until_at": "2026-01-08T08:30"}
    with person(deps, Role.OPERATOR) as all_, person(deps, Role.OPERATOR, ["llm-prod"]) as human:
        all_.send("/freezes", until | {"scope": "*"})
        assert human.send("/freezes", until | {"scope": "*"}).status_code == 403
        assert human.send("/freezes", until | {"scope": "diffusion/"}).status_code == 404
        assert human.send("/freezes", until | {"scope": "llm-prod/"}).status_code == 303
        page = human.get("/freezes").text
        assert "the whole fleet" in page
        assert len(re.findall("/lift", page)) == 1, "its own alone"
        assert "or * for the whole fleet" not in page
        assert "diffusion" not in page
    assert [action for _, action, _ in audited(database)] == ["freeze.create"] * 2


def proposed(page: str) -> list[str]:
    (found,) = re.findall(r'<datalist id="scopes">.*?</datalist>', page)
    return re.findall(r'value="([^"]*)"', found)


def test_every_namespace_is_proposed_however_many_workloads_there_are(
    deps: AdminDeps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Namespaces were those of the first 500 workloads, and nothing else could be frozen."""
    monkeypatch.setattr(service, "_MAX_NAMED", 1)
    with person(deps, Role.OPERATOR) as human:
        page = human.get("/freezes").text
        assert proposed(page) == ["*", "diffusion/", "llm-prod/", "diffusion/sdxl-turbo"]
        form = {"scope": f" {KEY} ", "until_at": "2026-01-08T08:30"}
        assert human.send("/freezes", form).status_code == 303, "one that is not proposed"
    with person(deps, Role.OPERATOR, ["llm-prod"]) as human:
        assert proposed(human.get("/freezes").text) == ["llm-prod/", KEY]
