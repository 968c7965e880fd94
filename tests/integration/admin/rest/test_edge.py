"""The edge of the admin application: rates, sizes, proxies, other sites, headers, cookies."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import httpx
import pytest

from services.admin.deps import AdminDeps
from services.kernel.errors import ConfigurationError
from services.kernel.security.keys import Role
from services.kernel.security.origins import parse_origins
from tests.integration.admin.app_client import BASE_URL, AppClient, Make, bearer

pytestmark = pytest.mark.integration


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
    for wrong in ("*", "portal.example", "https://b/", "null", "https://a@b", "https://["):
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
    for origin in ("https://evil.example", "null", f"{BASE_URL}.evil", "http://[", ""):
        refused = client.request("DELETE", "/v1/keys/1", headers={"Origin": origin})
        assert refused.status_code == 403, origin
    refused = client.request("DELETE", "/v1/keys/1")
    assert refused.status_code == 403
    assert client.post("/login", headers={"Origin": "https://evil.example"}).status_code == 403


def test_a_replay_says_what_its_time_is(make: Make, deps: AdminDeps, keys: dict[Role, str]) -> None:
    client, other = make(clock="replay"), make()
    client.headers = other.headers = bearer(keys[Role.VIEWER])
    told = client.get("/v1/workloads").headers["harmony-time"]
    assert datetime.fromisoformat(told) == deps.clock.now()
    assert "harmony-time" not in client.get("/healthz").headers
    assert "harmony-time" not in other.get("/v1/workloads").headers


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/v1/decisions", "GET, HEAD"),
        ("OPTIONS", "/v1/workloads", "GET, HEAD, POST"),
        ("DELETE", "/v1/workloads/prod/llama/policy", "GET, HEAD, PATCH"),
        ("PUT", "/v1/decisions/1/approve", "POST"),
        ("POST", "/static/none.css", "GET, HEAD"),
        ("OPTIONS", "/static/none.css", "GET, HEAD"),
        ("DELETE", "/v1/events", "GET"),
    ],
)
@pytest.mark.parametrize("accept", ["application/json", "text/html"])
def test_a_refused_method_names_those_that_the_path_takes(
    admin: AppClient, method: str, path: str, allowed: str, accept: str
) -> None:
    """HEAD too, which a layer before the routes answers; of files only what reads them."""
    answer = admin.request(method, path, headers={"Accept": accept})
    assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)
    for each in ("GET", "HEAD"):
        if each in allowed and path != "/v1/events":
            assert admin.request(each, path).status_code != 405


def test_another_sites_page_may_ask_for_heads(make: Make) -> None:
    client = make(cors_origins="https://there.test")
    asked = {
        "Origin": "https://there.test",
        "Access-Control-Request-Method": "HEAD",
        "Access-Control-Request-Headers": "authorization",
    }
    assert client.request("OPTIONS", "/v1/workloads", headers=asked).status_code == 200
