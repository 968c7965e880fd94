"""The console's login at a real local OIDC issuer: the code flow, sessions and roles."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import Engine, text

from services.admin.app import make_app
from services.admin.deps import AdminDeps
from services.admin.sessions import ATTEMPT_S
from services.kernel.security.oidc_login import challenge_of
from tests.integration.admin.app_client import BASE_URL
from tests.integration.admin.console_visitor import OWN, Person, audited
from tests.integration.admin.oidc_issuer import (
    CLIENT_ID,
    CLIENT_SECRET,
    Issuer,
)
from tests.integration.admin.oidc_visitor import (
    CALLBACK,
    back,
    log_in,
    refused,
    to_the_issuer,
    visitor_of,
)

pytestmark = pytest.mark.integration


@pytest.mark.usefixtures("seeded")
def test_from_the_button_to_the_page_that_was_asked_for(
    visitor: Person, issuer: Issuer, database: Engine
) -> None:
    asked = visitor.get(f"{OWN}?a=1&b=2")
    assert asked.headers["location"] == f"/login?next={quote(f'{OWN}?a=1&b=2')}"
    form = visitor.get(asked.headers["location"]).text
    button = f"/login/oidc?next={quote(f'{OWN}?a=1&b=2')}"
    assert f'href="{button}"' in form
    assert f"Log in at {issuer.url.removeprefix('http://')}" in form
    assert 'name="key"' in form, "keys go on"
    sent = visitor.get(button)
    once = sent.headers["set-cookie"]
    for words in ("HttpOnly", "SameSite=lax", "Path=/login/oidc", f"Max-Age={ATTEMPT_S}"):
        assert words in once, words
    done = back(visitor, httpx.get(sent.headers["location"]))
    assert done.status_code == 200, done.text
    assert f'content="0; url={OWN}?a=1&amp;b=2"' in done.text
    cookies = done.headers.get_list("set-cookie")
    (session,) = [cookie for cookie in cookies if cookie.startswith("harmony_session=")]
    for words in ("HttpOnly", "SameSite=strict", "Max-Age=28800"):
        assert words in session, words
    page = visitor.get("/").text
    assert "ada@example.org" in page
    assert 'href="/audit"' in page, "the map makes an admin"
    assert visitor.send(f"{OWN}/pause", {"direction": "ScaleIn", "lasting": "3600"}).is_redirect
    who = "ada@example.org (oidc:user-1)"
    assert audited(database) == [(who, "pause.set", "workload/llm-prod/llama-70b-chat")]
    with database.connect() as connection:
        first = connection.execute(text("SELECT actor, action, object FROM audit LIMIT 1")).one()
    assert tuple(first) == (who, "session.open", "user/oidc:user-1")


def test_what_is_asked_of_the_issuer(visitor: Person, issuer: Issuer) -> None:
    log_in(visitor)
    log_in(visitor)
    first, second = issuer.pages.seen
    assert first["scope"] == "openid profile email"
    assert first["redirect_uri"] == CALLBACK
    for name in ("state", "nonce", "code_challenge"):
        assert first[name] != second[name], f"{name} is drawn anew"
    assert challenge_of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk") == (
        "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    ), "RFC 7636, appendix B"


@pytest.mark.usefixtures("seeded")
def test_roles_hold_where_the_map_says(visitor: Person, issuer: Issuer) -> None:
    issuer.pages.claims = {"groups": ["team-a", "none"]}
    log_in(visitor)
    assert visitor.get(OWN).status_code == 200
    assert "sdxl-turbo" not in visitor.get("/").text
    assert visitor.get("/audit").status_code == 403
    assert visitor.send(f"{OWN}/pause", {"direction": "ScaleIn", "lasting": "3600"}).is_redirect
    assert visitor.send("/models/train").status_code == 403


def test_a_public_client_and_one_that_posts_its_secret(deps: AdminDeps, issuer: Issuer) -> None:
    issuer.pages.client = (CLIENT_ID, None)
    with visitor_of(deps, issuer, oidc_client_secret=None) as visitor:
        assert log_in(visitor).status_code == 200
    issuer.pages.client = (CLIENT_ID, CLIENT_SECRET)
    issuer.pages.methods = ["client_secret_post"]
    with visitor_of(deps, issuer) as visitor:
        assert log_in(visitor).status_code == 200
    with visitor_of(deps, issuer, oidc_client_secret="wrong") as visitor:
        status, _, reason = refused(visitor, to_the_issuer(visitor))
    assert (status, reason) == (401, "login_code_refused")


def test_roles_of_the_user_info_where_the_token_has_none(deps: AdminDeps, issuer: Issuer) -> None:
    issuer.pages.claims = {"groups": None}
    issuer.pages.user_info = {"sub": "user-1", "groups": ["sre"]}
    with visitor_of(deps, issuer) as visitor:
        assert log_in(visitor).status_code == 200
        assert visitor.get("/").status_code == 200
    issuer.pages.user_info = {"sub": "somebody-else", "groups": ["sre"]}
    with visitor_of(deps, issuer) as visitor:
        assert refused(visitor, to_the_issuer(visitor))[0] == 403


def test_two_windows_log_in_beside_each_other(visitor: Person) -> None:
    one, two = to_the_issuer(visitor), to_the_issuer(visitor)
    assert back(visitor, one).status_code == 200
    assert back(visitor, two).status_code == 200


def test_an_answer_that_was_not_asked_for_here(
    deps: AdminDeps, visitor: Person, issuer: Issuer
) -> None:
    answer = to_the_issuer(visitor)
    with visitor_of(deps, issuer) as other:  # another browser with a login of its own under way
        to_the_issuer(other)
        status, page, reason = refused(other, answer)
        assert (status, reason) == (400, "login_unknown")
        assert "was not begun in this browser" in page
    assert refused(visitor, answer, state="made-up")[2] == "login_unknown"
    assert refused(visitor, answer, state="")[2] == "login_unknown"
    assert back(visitor, answer).status_code == 200
    visitor.send("/logout")
    assert refused(visitor, answer)[2] == "login_unknown", "an answer is good once"


def test_a_cookie_under_another_state(visitor: Person) -> None:
    """Who could set a cookie here still needs the state that belongs to it."""
    mine, theirs = to_the_issuer(visitor), to_the_issuer(visitor)
    names = [name for name in visitor.cookies if name.startswith("harmony_login_")]
    values = [visitor.cookies[name] for name in names]
    visitor.cookies.clear()
    for name, value in zip(names, reversed(values), strict=True):
        visitor.cookies.set(name, value)
    assert refused(visitor, mine)[2] == "login_unknown"
    assert refused(visitor, theirs)[2] == "login_unknown"


def test_an_attempt_ends_by_itself(deps: AdminDeps, visitor: Person) -> None:
    answer = to_the_issuer(visitor)
    (key,) = deps.redis.keys("harmony:login:*")
    assert 0 < deps.redis.ttl(key) <= ATTEMPT_S
    deps.redis.delete(key)  # as its end does
    status, page, reason = refused(visitor, answer)
    assert (status, reason) == (400, "login_unknown")
    assert "more than ten minutes ago" in page


def test_a_session_ends_by_itself_and_by_logging_out(deps: AdminDeps, issuer: Issuer) -> None:
    with visitor_of(deps, issuer) as visitor:
        log_in(visitor)
        (key,) = deps.redis.keys("harmony:session:*")
        assert 28_000 < deps.redis.ttl(key) <= 28_800
        assert visitor.cookies["harmony_session"] not in str(deps.redis.get(key))
        token = visitor.cookies["harmony_session"]
        left = visitor.send("/logout")
        assert left.headers["location"] == "/login?done=logged-out"
        page = visitor.get(left.headers["location"]).text
        assert "You are logged out" in page
        away = f"{issuer.url}/logout?client_id={CLIENT_ID}&amp;post_logout_redirect_uri="
        assert f'href="{away}{quote(f"{BASE_URL}/login", safe="")}"' in page
        visitor.cookies.set("harmony_session", token)
        assert visitor.get("/").status_code == 303
        log_in(visitor)
        deps.redis.delete(*deps.redis.keys("harmony:session:*"))
        assert visitor.get("/").headers["location"] == "/login?next=/"


def test_roles_that_the_map_gives_no_more_end_at_once(deps: AdminDeps, issuer: Issuer) -> None:
    with visitor_of(deps, issuer) as visitor:
        log_in(visitor)
        cookies = visitor.cookies
    lowered = {"sre": "viewer"}
    for changes, status in (
        ({"oidc_role_map": json.dumps(lowered)}, 200),
        ({"oidc_role_map": "{}"}, 303),
        ({"oidc_issuer": "https://other.example"}, 303),
    ):
        with visitor_of(deps, issuer, **changes) as visitor:
            visitor.cookies = cookies
            page = visitor.get("/")
            assert page.status_code == status, changes
            assert 'href="/audit"' not in page.text
    with Person(make_app(deps)) as visitor:  # no issuer at all any more
        visitor.cookies = cookies
        visitor.headers["Accept"] = "text/html"
        assert visitor.get("/").status_code == 303


@pytest.mark.parametrize("groups", [None, [], ["unknown"], "unknown", 7, {"sre": True}])
def test_a_person_without_a_role(
    visitor: Person, issuer: Issuer, database: Engine, groups: Any
) -> None:
    issuer.pages.claims = {"groups": groups}
    status, page, reason = refused(visitor, to_the_issuer(visitor))
    assert (status, reason) == (403, "no_role")
    assert "You are ada@example.org at" in page
    assert "(claim groups) gives a role here" in page
    with database.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM audit")).scalar_one() == 0
