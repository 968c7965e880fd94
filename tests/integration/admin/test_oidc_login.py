"""The console's login at a real local OIDC issuer: the code flow, and all that can go wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest
from sqlalchemy import Engine, text
from structlog.testing import capture_logs

from services.admin.api import make_app
from services.admin.service import AdminDeps
from services.admin.sessions import ATTEMPT_S
from services.kernel.errors import ConfigurationError
from services.kernel.security_oidc_login import OidcLogin, challenge_of, make_login
from services.kernel.settings import Settings
from tests.integration.admin.app_client import BASE_URL
from tests.integration.admin.console_visitor import OWN, Person, audited
from tests.integration.admin.oidc_issuer import (
    AUDIENCE,
    CLIENT_ID,
    CLIENT_SECRET,
    DISCOVERY,
    Issuer,
    serve_issuer,
)
from tests.integration.admin.seeded_fleet import NOW

pytestmark = pytest.mark.integration
ROLES = {"sre": "admin", "team-a": ["operator@llm-prod", "viewer@elsewhere"]}
CALLBACK = f"{BASE_URL}/login/oidc/callback"


@pytest.fixture(scope="module")
def issuer_of_module() -> Iterator[Issuer]:
    with serve_issuer() as found:
        yield found


@pytest.fixture
def issuer(issuer_of_module: Issuer) -> Issuer:
    """One issuer for all tests, as it was at first, that knows the console."""
    issuer_of_module.reset()
    issuer_of_module.pages.redirect_uris = {CALLBACK}
    issuer_of_module.pages.now = NOW
    return issuer_of_module


def settings_for(issuer: Issuer, **changes: Any) -> Settings:
    values = {
        "oidc_issuer": issuer.url,
        "oidc_audience": AUDIENCE,
        "oidc_role_map": json.dumps(ROLES),
        "oidc_client_id": CLIENT_ID,
        "oidc_client_secret": CLIENT_SECRET,
    }
    return Settings(_env_file=None, **values | changes)


@contextmanager
def visitor_of(deps: AdminDeps, issuer: Issuer, **changes: Any) -> Iterator[Person]:
    """A browser that has not logged in, at a console with this login."""
    login = make_login(settings_for(issuer, **changes))
    assert login is not None
    deps = replace(deps, oidc_login=login)
    with Person(make_app(deps)) as found:
        found.headers["Accept"] = "text/html"
        yield found
    login.close()


@pytest.fixture
def visitor(deps: AdminDeps, issuer: Issuer) -> Iterator[Person]:
    with visitor_of(deps, issuer) as found:
        yield found


def to_the_issuer(visitor: Person, following: str = "/") -> httpx.Response:
    """Follow the button of the login page to what the issuer answers."""
    answer = visitor.get(f"/login/oidc?next={quote(following)}")
    assert answer.status_code == 303, answer.text
    return httpx.get(answer.headers["location"])


def back(visitor: Person, answer: httpx.Response, **changes: str) -> httpx.Response:
    """Follow the issuer's redirect back to the console, with other parameters."""
    parts = urlsplit(answer.headers["location"])
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == CALLBACK
    given = {name: values[0] for name, values in parse_qs(parts.query).items()}
    return visitor.get(parts.path, params=given | changes)


def log_in(visitor: Person, following: str = "/") -> httpx.Response:
    return back(visitor, to_the_issuer(visitor, following))


def refused(visitor: Person, answer: httpx.Response, **changes: str) -> tuple[int, str, str]:
    """Status and page of a login that fails, and why, as the log says it; no session begins."""
    with capture_logs() as logs:
        failed = back(visitor, answer, **changes)
    assert "harmony_session" not in failed.headers.get("set-cookie", "")
    assert visitor.get("/").status_code == 303
    assert 'role="alert"' in failed.text
    assert "Log in at" in failed.text, "the way to start again is there"
    reasons = [str(line["reason"]) for line in logs if line["event"] == "auth_refused"]
    assert CLIENT_SECRET not in str(logs)
    return failed.status_code, failed.text, reasons[0] if reasons else ""


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


AT = int(NOW.timestamp())
UNTRUSTED: list[tuple[dict[str, Any], str]] = [
    ({"aud": AUDIENCE}, "token_audience"),
    ({"aud": "other"}, "token_audience"),
    ({"azp": "other"}, "login_party"),
    ({"iss": "https://other.example"}, "token_issuer"),
    ({"nonce": "of another login"}, "login_nonce"),
    ({"nonce": None}, "login_nonce"),
    ({"nonce": 7}, "login_nonce"),
    ({"exp": AT - 31}, "token_expired"),
    ({"iat": AT + 60}, "token_not_yet_valid"),
    ({"sub": None}, "token_without_subject"),
]


def test_an_id_token_that_does_not_fit(visitor: Person, issuer: Issuer) -> None:
    for claims, reason in UNTRUSTED:
        issuer.pages.claims = claims
        status, page, found = refused(visitor, to_the_issuer(visitor))
        assert (status, found) == (401, reason), claims
        assert "cannot be used" in page
        assert "nonce" not in page
        assert "audience" not in page
    issuer.pages.claims = {"aud": [CLIENT_ID, "other"], "azp": CLIENT_ID}
    assert log_in(visitor).status_code == 200


def test_an_issuer_that_names_itself_in_the_answer(deps: AdminDeps, issuer: Issuer) -> None:
    with visitor_of(deps, issuer) as visitor:
        answer = to_the_issuer(visitor)
        assert refused(visitor, answer, iss="https://evil.example")[2] == "login_issuer"
        assert back(visitor, to_the_issuer(visitor), iss=issuer.url).status_code == 200
    true = json.loads(issuer.answer(DISCOVERY)[1])
    true["authorization_response_iss_parameter_supported"] = True
    issuer.documents[DISCOVERY] = (200, json.dumps(true).encode(), {})
    with visitor_of(deps, issuer) as visitor:
        assert refused(visitor, to_the_issuer(visitor))[2] == "login_issuer"
        assert back(visitor, to_the_issuer(visitor), iss=issuer.url).status_code == 200


def test_who_is_refused_by_the_issuer_is_told_so(visitor: Person, issuer: Issuer) -> None:
    issuer.pages.error = ("access_denied", "<b>no\nentry</b>")
    status, page, reason = refused(visitor, to_the_issuer(visitor))
    assert (status, reason) == (400, "login_refused")
    assert "did not log you in: access_denied &lt;b&gt;no?entry&lt;/b&gt;." in page
    issuer.pages.error = None
    answer = to_the_issuer(visitor)
    assert "it gave no code" in refused(visitor, answer, code="")[1]


def test_a_code_that_the_issuer_does_not_know(visitor: Person) -> None:
    status, _, reason = refused(visitor, to_the_issuer(visitor), code="stolen")
    assert (status, reason) == (401, "login_code_refused")


def test_a_stolen_code_needs_the_verifier_of_its_login(visitor: Person, issuer: Issuer) -> None:
    """PKCE: the code of one login put into the answer to another is refused by the issuer."""
    stolen = parse_qs(urlsplit(to_the_issuer(visitor).headers["location"]).query)["code"][0]
    _, _, reason = refused(visitor, to_the_issuer(visitor), code=stolen)
    assert reason == "login_code_refused"


def test_it_leads_nowhere_else(visitor: Person) -> None:
    for target in ("//evil.test", "https://evil.test", "/\\evil.test", "/\nx", "javascript:x"):
        done = log_in(visitor, target)
        assert 'content="0; url=/"' in done.text, target
        assert "evil" not in done.text


Break = Callable[[Issuer], None]
BREAKS: dict[str, tuple[Break, int]] = {
    "no discovery": (lambda i: i.documents.update({DISCOVERY: (500, b"", {})}), 503),
    "no endpoint": (
        lambda i: i.documents.update(
            {
                DISCOVERY: (
                    200,
                    json.dumps({"issuer": i.url, "jwks_uri": f"{i.url}/keys"}).encode(),
                    {},
                )
            }
        ),
        503,
    ),
    "endpoint without tls": (
        lambda i: i.documents.update(
            {
                DISCOVERY: (
                    200,
                    json.dumps(
                        {
                            "issuer": i.url,
                            "jwks_uri": f"{i.url}/keys",
                            "authorization_endpoint": "http://evil.example/a",
                        }
                    ).encode(),
                    {},
                )
            }
        ),
        503,
    ),
}


@pytest.mark.parametrize("broken", list(BREAKS))
def test_an_issuer_that_cannot_be_asked(visitor: Person, issuer: Issuer, broken: str) -> None:
    breaks, status = BREAKS[broken]
    breaks(issuer)
    answer = visitor.get("/login/oidc?next=/limits")
    assert answer.status_code == status
    assert "the identity provider" in answer.text
    assert "evil" not in answer.text
    assert 'value="/limits"' in answer.text, "a key logs in meanwhile"


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        ((500, b"", {}), 503, ""),
        ((200, b"<html>", {}), 503, ""),
        ((302, b"", {"Location": "http://evil.example"}), 401, "login_code_refused"),
        ((200, b"{}", {}), 401, "login_without_id_token"),
        ((200, b'{"id_token": "a.b.c"}', {}), 401, "malformed_token"),
    ],
)
def test_a_token_endpoint_that_answers_nonsense(
    visitor: Person, issuer: Issuer, answer: Any, status: int, reason: str
) -> None:
    there = to_the_issuer(visitor)
    issuer.documents["/token"] = answer
    found = refused(visitor, there)
    assert (found[0], found[2]) == (status, reason)


def test_without_a_client_there_is_no_such_login(anonymous: Person) -> None:
    page = anonymous.get("/login").text
    assert "Log in at" not in page
    anonymous.headers["Accept"] = "text/html"
    for path in ("/login/oidc", "/login/oidc/callback?state=x&code=y"):
        assert anonymous.get(path).status_code in {400, 404}, path


def test_behind_another_name(deps: AdminDeps, issuer: Issuer) -> None:
    name = "https://harmony.example.org"
    issuer.pages.redirect_uris = {f"{name}/login/oidc/callback"}
    named = replace(deps, settings=deps.settings.model_copy(update={"console_url": f"{name}/"}))
    with visitor_of(named, issuer) as visitor:
        assert to_the_issuer(visitor).headers["location"].startswith(name)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"oidc_issuer": ""}, "HARMONY_OIDC_CLIENT_ID"),
        ({"oidc_audience": ""}, "HARMONY_OIDC_AUDIENCE"),
        ({"oidc_scopes": "profile email"}, "HARMONY_OIDC_SCOPES"),
        ({"console_url": "harmony.example.org"}, "HARMONY_CONSOLE_URL"),
        ({"console_url": "https://harmony.example.org/x"}, "HARMONY_CONSOLE_URL"),
        ({"console_url": "https://a:b@harmony.example.org"}, "HARMONY_CONSOLE_URL"),
        ({"console_url": "https://[::1"}, "HARMONY_CONSOLE_URL"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(
    issuer: Issuer, changes: dict[str, Any], names: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"^{names}") as caught:
        make_login(settings_for(issuer, **changes))
    assert CLIENT_SECRET not in caught.value.message


def test_the_secret_is_not_shown(issuer: Issuer) -> None:
    login = make_login(settings_for(issuer))
    assert isinstance(login, OidcLogin)
    assert CLIENT_SECRET not in repr(settings_for(issuer)) + repr(login)
    login.close()
