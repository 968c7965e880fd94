"""The edge of the admin application: rates, sizes, proxies, other sites, headers, cookies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import httpx
import pytest

from services.admin.app import make_app
from services.admin.decisions.service import AdminDeps
from services.admin.rest.edge import parse_origins
from services.kernel.errors import ConfigurationError
from services.kernel.security.keys import KeyVerifier, Role
from services.kernel.security.limits import Limiter
from tests.integration.admin.app_client import BASE_URL, AppClient

pytestmark = pytest.mark.integration
Make = Callable[..., AppClient]


@pytest.fixture
def make(deps: AdminDeps) -> Iterator[Make]:
    """Clients of the application with other settings, limits on."""
    with ExitStack() as stack:

        def made(**changes: Any) -> AppClient:
            settings = deps.settings.model_copy(update=changes)
            limiter = Limiter("admin", deps.redis)
            app = make_app(replace(deps, settings=settings, limiter=limiter))
            return stack.enter_context(AppClient(app))

        yield made


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def statuses(client: AppClient, n: int, path: str = "/v1/whoami", **kwargs: Any) -> list[int]:
    return [client.get(path, **kwargs).status_code for _ in range(n)]


def test_one_credential_asks_so_often_and_no_more(make: Make, keys: dict[Role, str]) -> None:
    client = make(rate_per_s=0.01, rate_burst=3)
    viewer, admin = ({"headers": bearer(keys[role])} for role in (Role.VIEWER, Role.ADMIN))
    assert statuses(client, 5, **viewer) == [200, 200, 200, 429, 429]
    answer = client.get("/v1/whoami", **viewer)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "too_many_requests"
    assert 90 <= int(answer.headers["retry-after"]) <= 100
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert statuses(client, 1, **admin) == [200]  # others are not in its way


def test_one_address_asks_so_often_whoever_it_is(make: Make, keys: dict[Role, str]) -> None:
    client = make(address_rate_per_s=0.01, address_rate_burst=3)
    assert statuses(client, 2) == [401, 401]
    assert statuses(client, 2, headers=bearer(keys[Role.VIEWER])) == [200, 429]
    answer = client.get("/login")
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    assert statuses(client, 5, "/healthz") == [200] * 5


def test_wrong_credentials_are_few(make: Make, deps: AdminDeps, keys: dict[Role, str]) -> None:
    client = make(auth_failures_per_min=4)
    known = {"headers": bearer(keys[Role.VIEWER])}
    assert statuses(client, 1, **known) == [200]
    wrong = {"headers": bearer("hk_0123456789_" + "x" * 43)}
    assert statuses(client, 6, **wrong) == [401] * 4 + [429] * 2
    limited = client.get("/v1/whoami", **wrong)
    assert 1 <= int(limited.headers["retry-after"]) <= 15
    # a right key that was used a moment ago goes on; one that was not has to wait
    assert statuses(client, 3, **known) == [200] * 3
    unused = {"headers": bearer(keys[Role.ADMIN])}
    assert statuses(client, 2, **unused) == [429] * 2
    assert statuses(client, 2) == [401] * 2  # without a credential there is nothing to try


def test_right_credentials_cost_nothing(make: Make, deps: AdminDeps, keys: dict[Role, str]) -> None:
    client = make(auth_failures_per_min=2)
    for _ in range(5):
        deps.verifier.forget(1)
        assert statuses(client, 1, headers=bearer(keys[Role.VIEWER])) == [200]


def test_the_login_form_is_stricter_still(make: Make, keys: dict[Role, str]) -> None:
    client = make(auth_failures_per_min=10)
    client.headers = {"Origin": BASE_URL, "Accept": "text/html"}
    wrong = {"data": {"key": "hk_0123456789_" + "x" * 43}}
    found = [client.post("/login", **wrong) for _ in range(3)]
    assert [answer.status_code for answer in found] == [401, 401, 429]
    assert int(found[-1].headers["retry-after"]) >= 1
    assert found[-1].headers["content-type"].startswith("text/html")
    assert client.post("/login", data={"key": keys[Role.VIEWER]}).status_code == 429
    lenient = make(auth_failures_per_min=3)  # fewer than one login costs
    lenient.headers = client.headers
    deps_free = {"data": {"key": keys[Role.OPERATOR]}}
    assert lenient.post("/login", **deps_free).status_code in {303, 429}


def test_guesses_at_once_are_counted_before_they_are_hashed(
    make: Make, deps: AdminDeps, keys: dict[Role, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    verify = KeyVerifier.verify

    def counted(self: KeyVerifier, token: str, now: Any) -> Any:
        hashed.append(token)
        return verify(self, token, now)

    monkeypatch.setattr(KeyVerifier, "verify", counted)
    client = make(auth_failures_per_min=3)
    prefix = keys[Role.ADMIN].rsplit("_", 1)[0][:13]
    for k in range(10):
        client.get("/v1/whoami", headers=bearer(f"{prefix}_{'x' * 42}{k}"))
    assert len(hashed) == 3


def chunks(n: int) -> Iterator[bytes]:
    for _ in range(n):
        yield b" " * 1000


def test_a_body_over_the_limit(make: Make, keys: dict[Role, str]) -> None:
    client = make(max_body_bytes=2000)
    client.headers = bearer(keys[Role.ADMIN]) | {"Content-Type": "application/json"}
    padded = b'{"name": "x", "role": "viewer"}'.ljust(2000)
    assert client.post("/v1/keys", content=padded).status_code == 201

    async def streamed() -> Any:
        for chunk in chunks(3):
            yield chunk

    for content in (padded + b" ", streamed()):
        answer = client.post("/v1/keys", content=content)
        assert answer.status_code == 413, answer.text
        assert answer.json()["code"] == "payload_too_large"
        assert "2000 bytes" in answer.json()["detail"]
        assert answer.headers["x-frame-options"] == "DENY"
    form = {"Origin": BASE_URL, "Content-Type": "application/x-www-form-urlencoded"}
    page = client.post("/login", content=streamed(), headers=form | {"Accept": "text/html"})
    assert page.status_code == 413
    assert page.headers["content-type"].startswith("text/html")


def test_proxies_are_believed_when_they_are_trusted(make: Make, keys: dict[Role, str]) -> None:
    """The test client's peer is 127.0.0.1."""
    forwarded = {"X-Forwarded-For": "198.51.100.1", "X-Forwarded-Proto": "https"}
    form = {"data": {"key": keys[Role.VIEWER]}}
    origin = {"Origin": BASE_URL}
    direct = make()
    answer = direct.post("/login", headers=origin | forwarded, **form)
    assert "Secure" not in answer.headers["set-cookie"]
    assert "strict-transport-security" not in answer.headers
    behind = make(trusted_proxies="127.0.0.0/8")
    answer = behind.post("/login", headers=origin | forwarded, **form)
    assert "; Secure" in answer.headers["set-cookie"]
    assert answer.headers["strict-transport-security"].startswith("max-age=31536000")
    # each client behind the proxy has a limit of its own, and cannot make others up
    for changes, expected in (
        ({"trusted_proxies": "127.0.0.1"}, [401, 401, 401, 429]),
        ({}, [401, 429, 429, 429]),
    ):
        client = make(address_rate_per_s=0.001, address_rate_burst=1, **changes)
        found = [
            client.get("/v1/whoami", headers={"X-Forwarded-For": hops}).status_code
            for hops in ("203.0.113.1", "203.0.113.2", "203.0.113.3", "9.9.9.9, 203.0.113.1")
        ]
        assert found == expected, changes
        client_keys = "harmony:limit:admin:address:*"
        redis = client._app.state.deps.redis
        redis.delete(*redis.keys(client_keys))


SITE = {"Origin": "https://portal.example"}
PREFLIGHT = SITE | {
    "Access-Control-Request-Method": "GET",
    "Access-Control-Request-Headers": "authorization",
}


def allowed(answer: httpx.Response) -> dict[str, str]:
    return {
        name: value for name, value in answer.headers.items() if name.startswith("access-control")
    }


def test_other_sites_are_shut_out_by_default(make: Make, keys: dict[Role, str]) -> None:
    client = make()
    assert allowed(client.get("/v1/whoami", headers=SITE | bearer(keys[Role.VIEWER]))) == {}
    preflight = client.request("OPTIONS", "/v1/whoami", headers=PREFLIGHT)
    assert preflight.status_code == 405
    assert allowed(preflight) == {}


def test_other_sites_that_are_named_may_ask_without_cookies(
    make: Make, keys: dict[Role, str]
) -> None:
    client = make(cors_origins="https://portal.example")
    answer = client.get("/v1/whoami", headers=SITE | bearer(keys[Role.VIEWER]))
    assert allowed(answer)["access-control-allow-origin"] == "https://portal.example"
    assert "access-control-allow-credentials" not in answer.headers
    preflight = client.request("OPTIONS", "/v1/whoami", headers=PREFLIGHT)
    assert preflight.status_code == 200
    assert "authorization" in allowed(preflight)["access-control-allow-headers"].lower()
    other = {"Origin": "https://portal.example.evil"}
    assert "access-control-allow-origin" not in allowed(client.get("/v1/whoami", headers=other))
    for wrong in ("*", "portal.example", "https://portal.example/", "null", "https://a@b"):
        with pytest.raises(ConfigurationError, match="HARMONY_CORS_ORIGINS"):
            parse_origins(wrong)


def test_every_answer_has_the_security_headers(make: Make, keys: dict[Role, str]) -> None:
    client = make()
    ok = {"headers": bearer(keys[Role.VIEWER])}
    asked = [
        client.get("/v1/whoami", **ok),
        client.get("/v1/whoami"),
        client.get("/v1/keys", **ok),
        client.get("/v1/nothing", **ok),
        client.get("/healthz"),
        client.get("/login"),
        client.get("/", headers={"Accept": "text/html"}),
        client.get("/static/console.css"),
        client.request("PUT", "/v1/whoami", **ok),
    ]
    assert {answer.status_code for answer in asked} == {200, 303, 401, 403, 404, 405}
    for answer in asked:
        headers = answer.headers
        policy = headers["content-security-policy"]
        csp = dict(part.strip().partition(" ")[::2] for part in policy.split(";"))
        assert csp["default-src"] == "'none'"
        assert csp["script-src"] == csp["style-src"] == csp["connect-src"] == "'self'"
        assert csp["frame-ancestors"] == csp["base-uri"] == "'none'"
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert "server" not in headers
        if not str(answer.url).startswith(f"{BASE_URL}/static"):
            assert headers["cache-control"] == "no-store"


def test_the_cookie_is_shut_to_scripts_and_other_sites(make: Make, keys: dict[Role, str]) -> None:
    client = make()
    form = {"data": {"key": keys[Role.VIEWER]}}
    answer = client.post("/login", headers={"Origin": BASE_URL}, **form)
    parts = {part.strip() for part in answer.headers["set-cookie"].split(";")}
    assert {"HttpOnly", "SameSite=strict", "Path=/", "Max-Age=43200"} <= parts
    assert not any(part.startswith("Domain") for part in parts)
    assert keys[Role.VIEWER] not in answer.headers["set-cookie"]
    # with the cookie, a page of another site can ask for no change
    for origin in ("https://evil.example", "null", f"{BASE_URL}.evil", ""):
        refused = client.request("DELETE", "/v1/keys/1", headers={"Origin": origin})
        assert refused.status_code == 403, origin
    refused = client.request("DELETE", "/v1/keys/1")
    assert refused.status_code == 403
    assert client.post("/login", headers={"Origin": "https://evil.example"}).status_code == 403
