"""How often a credential and an address may ask."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, text

from services.admin.deps import AdminDeps
from services.kernel.errors import Unavailable
from services.kernel.security.keys import KeyVerifier, Role
from tests.integration.admin.app_client import BASE_URL, AppClient, Make, bearer

pytestmark = pytest.mark.integration


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


def test_a_neighbour_with_a_stale_key_never_holds_up_one_in_use(
    make: Make, deps: AdminDeps, keys: dict[Role, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deps.verifier, "_ttl_s", -1.0)  # as if each request came a minute later
    client = make(auth_failures_per_min=3)
    known = {"headers": bearer(keys[Role.VIEWER])}
    stale = {"headers": bearer("hk_0123456789_" + "x" * 43)}
    assert statuses(client, 1, **known) == [200]
    assert statuses(client, 5, **stale) == [401] * 3 + [429] * 2
    assert statuses(client, 3, **known) == [200] * 3
    assert statuses(client, 1, headers=bearer(keys[Role.ADMIN])) == [429]


def test_a_key_that_is_revoked_is_refused_and_then_taken_for_a_guess(
    make: Make,
    deps: AdminDeps,
    keys: dict[Role, str],
    database: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deps.verifier, "_ttl_s", -1.0)
    client = make(auth_failures_per_min=2)
    gone = {"headers": bearer(keys[Role.VIEWER])}
    assert statuses(client, 1, **gone) == [200]
    with database.begin() as connection:
        connection.execute(
            text("UPDATE api_keys SET revoked_at = now() WHERE prefix = :prefix"),
            {"prefix": keys[Role.VIEWER].split("_")[1]},
        )
    assert statuses(client, 5, **gone) == [401] * 3 + [429] * 2


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


def test_a_key_that_nobody_can_check_is_not_taken_for_a_wrong_one(
    make: Make, keys: dict[Role, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the database is away everybody's key is unknown; nobody is shut out afterwards."""
    client = make(auth_failures_per_min=3)
    key = {"headers": bearer(keys[Role.VIEWER])}
    with monkeypatch.context() as away:

        def unreachable(self: KeyVerifier, token: str, now: Any) -> Any:
            raise Unavailable("the database cannot be reached")

        away.setattr(KeyVerifier, "verify", unreachable)
        assert statuses(client, 6, **key) == [503] * 6
    assert statuses(client, 2, **key) == [200] * 2
