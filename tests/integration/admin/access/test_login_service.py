"""The login at a real local OIDC issuer: answers, issuers and settings that do not fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from services.admin.deps import AdminDeps
from services.kernel.errors import ConfigurationError
from services.kernel.security.oidc_login import OidcLogin, make_login
from tests.integration.admin.console_visitor import Person
from tests.integration.admin.oidc_issuer import (
    AUDIENCE,
    CLIENT_ID,
    CLIENT_SECRET,
    DISCOVERY,
    Issuer,
)
from tests.integration.admin.oidc_visitor import (
    back,
    log_in,
    refused,
    settings_for,
    to_the_issuer,
    visitor_of,
)
from tests.integration.admin.seeded_fleet import NOW

pytestmark = pytest.mark.integration
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


NO_PORTS = ["https://127.0.0.1:99999/x", "https://127.0.0.1:abc/x", "https://127.0.0.1:-1/x"]


def rename(issuer: Issuer, endpoint: str, url: str) -> None:
    """The issuer's discovery document names another URL for an endpoint."""
    document = json.loads(issuer.answer(DISCOVERY)[1])
    issuer.documents[DISCOVERY] = (200, json.dumps(document | {endpoint: url}).encode(), {})


@pytest.mark.parametrize("url", NO_PORTS)
def test_an_endpoint_whose_port_is_none(deps: AdminDeps, issuer: Issuer, url: str) -> None:
    for endpoint in ("authorization_endpoint", "jwks_uri"):
        rename(issuer, endpoint, url)
        with visitor_of(deps, issuer) as visitor:
            answer = visitor.get("/login/oidc")
            assert (answer.status_code, "the identity provider" in answer.text) == (503, True)
        issuer.documents.pop(DISCOVERY)
    rename(issuer, "token_endpoint", url)
    with visitor_of(deps, issuer) as visitor:
        status, page, _ = refused(visitor, to_the_issuer(visitor))
        assert (status, "names no usable token_endpoint" in page) == (503, True)


@pytest.mark.parametrize("url", NO_PORTS)
def test_a_page_to_log_out_whose_port_is_none(deps: AdminDeps, issuer: Issuer, url: str) -> None:
    rename(issuer, "end_session_endpoint", url)
    with visitor_of(deps, issuer) as visitor:
        assert log_in(visitor).status_code == 200
        login = make_login(settings_for(issuer))
        assert login is not None
        assert login.logout_url("https://back.example") is None
        login.close()


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
        ({"console_url": "https://harmony.example.org:99999"}, "HARMONY_CONSOLE_URL"),
        ({"console_url": "https://harmony.example.org:abc"}, "HARMONY_CONSOLE_URL"),
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
