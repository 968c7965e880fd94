"""Bearer tokens of a real local OIDC issuer: what is accepted, what is refused, when keys turn."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import jwt
import pytest
from structlog.testing import capture_logs

from services.admin.app import make_app
from services.admin.deps import AdminDeps
from services.kernel.errors import Unavailable
from services.kernel.security.jwks import JwksCache, JwksTimes
from services.kernel.security.oidc import OidcVerifier, is_safe, policy_of
from services.kernel.settings import Settings
from tests.integration.admin.app_client import AppClient
from tests.integration.admin.oidc_issuer import AUDIENCE, DISCOVERY, Issuer
from tests.integration.admin.seeded_fleet import NOW

pytestmark = pytest.mark.integration

ROLES = {"sre": "admin", "team-a": ["operator@llm-prod", "viewer@elsewhere"], "all": "viewer"}
WHO = "/v1/whoami"


class Monotonic:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.at_s = 1000.0

    def __call__(self) -> float:
        return self.at_s


@pytest.fixture
def monotonic() -> Monotonic:
    return Monotonic()


@pytest.fixture
def issuer(issuer_of_module: Issuer) -> Issuer:
    """One issuer for all tests (keys take time to make), as it was at first."""
    issuer_of_module.reset()
    return issuer_of_module


@pytest.fixture
def client(deps: AdminDeps, issuer: Issuer, monotonic: Monotonic) -> Iterator[AppClient]:
    with (
        verifier_of(issuer, monotonic) as verifier,
        AppClient(make_app(replace(deps, oidc=verifier))) as found,
    ):
        yield found


@contextmanager
def verifier_of(issuer: Issuer, monotonic: Monotonic) -> Iterator[OidcVerifier]:
    settings = Settings(
        _env_file=None,
        oidc_issuer=issuer.url,
        oidc_audience=AUDIENCE,
        oidc_role_map=json.dumps(ROLES),
    )
    policy = policy_of(settings)
    assert policy is not None
    keys = JwksCache(issuer.url, JwksTimes(), is_safe=is_safe, monotonic=monotonic)
    yield OidcVerifier(policy, keys)
    keys.close()


def send(client: AppClient, token: str, path: str = WHO) -> Any:
    return client.get(path, headers={"Authorization": f"Bearer {token}"})


def refused(client: AppClient, token: str) -> str:
    """Why, as the log says it; the answer is always the same."""
    with capture_logs() as logs:
        answer = send(client, token)
    assert answer.status_code == 401, answer.text
    assert answer.text == client.get(WHO).text
    (line,) = [line for line in logs if line["event"] == "auth_refused"]
    assert token not in str(logs)
    return str(line["reason"])


@pytest.mark.parametrize("kid", ["rsa-1", "ec-1"])
def test_a_token_of_the_issuer_speaks_for_its_subject(
    client: AppClient, issuer: Issuer, kid: str
) -> None:
    answer = send(client, issuer.token(issuer.claims(NOW), kid))
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "name": "ada@example.org",
        "actor": "ada@example.org (oidc:user-1)",
        "grants": [{"namespace": "*", "role": "admin", "cluster": "*"}],
        "expires_at": "2026-01-06T12:05:30Z",
    }
    several = issuer.claims(NOW, aud=["other", AUDIENCE], groups=["team-a", "all", "none"])
    found = send(client, issuer.token(several, kid, typ="at+jwt")).json()["grants"]
    assert found == [
        {"namespace": "llm-prod", "role": "operator", "cluster": "*"},
        {"namespace": "elsewhere", "role": "viewer", "cluster": "*"},
        {"namespace": "*", "role": "viewer", "cluster": "*"},
    ]


@pytest.mark.usefixtures("seeded")
def test_its_roles_hold_where_the_map_says(client: AppClient, issuer: Issuer) -> None:
    token = issuer.token(issuer.claims(NOW, groups=["team-a"]), "ec-1")
    namespaces = {
        item["namespace"] for item in send(client, token, "/v1/workloads").json()["items"]
    }
    assert namespaces == {"llm-prod"}
    assert send(client, token, "/v1/workloads/llm-prod/llama-70b-chat").status_code == 200
    assert send(client, token, "/v1/workloads/other/x").status_code == 403
    assert send(client, token, "/v1/audit").status_code == 403


def test_the_audit_log_names_the_subject(client: AppClient, issuer: Issuer) -> None:
    claims = issuer.claims(NOW, email="eve\n(root)")
    header = {"Authorization": f"Bearer {issuer.token(claims, 'ec-1')}"}
    made = client.post("/v1/keys", json={"name": "x", "role": "viewer"}, headers=header)
    assert made.status_code == 201
    (entry,) = client.get("/v1/audit", headers=header).json()["items"]
    assert entry["actor"] == "eve?(root) (oidc:user-1)"


def test_a_token_without_a_role_allows_nothing(client: AppClient, issuer: Issuer) -> None:
    for groups in (None, [], ["unknown"], "unknown", 7, {"sre": True}):
        with capture_logs() as logs:
            answer = send(client, issuer.token(issuer.claims(NOW, groups=groups), "ec-1"))
        assert answer.status_code == 403, groups
        assert "sre" not in answer.text
        reasons = [line["reason"] for line in logs if line["event"] == "auth_refused"]
        assert reasons == ["no_role"]


AT = int(NOW.timestamp())
BAD_CLAIMS: list[tuple[dict[str, Any], str]] = [
    ({"iss": "https://other.example"}, "token_issuer"),
    ({"iss": None}, "token_issuer"),
    ({"aud": "grafana"}, "token_audience"),
    ({"aud": None}, "token_audience"),
    ({"aud": ["grafana", "harmony2"]}, "token_audience"),
    ({"aud": {"harmony": 1}}, "token_audience"),
    ({"exp": None}, "token_without_expiry"),
    ({"exp": "soon"}, "token_without_expiry"),
    ({"exp": True}, "token_without_expiry"),
    ({"exp": 10**400}, "token_without_expiry"),
    ({"exp": AT - 30}, "token_expired"),
    ({"exp": 0}, "token_expired"),
    ({"nbf": AT + 31}, "token_not_yet_valid"),
    ({"nbf": "now"}, "token_not_yet_valid"),
    ({"iat": AT + 31}, "token_not_yet_valid"),
    ({"sub": None}, "token_without_subject"),
    ({"sub": ""}, "token_without_subject"),
    ({"sub": "x" * 256}, "token_without_subject"),
]


def test_a_claim_that_is_wrong(client: AppClient, issuer: Issuer) -> None:
    for changes, reason in BAD_CLAIMS:
        token = issuer.token(issuer.claims(NOW, **changes), "ec-1")
        assert refused(client, token) == reason, changes


def test_clocks_may_differ_by_the_leeway(client: AppClient, issuer: Issuer) -> None:
    for changes in ({"exp": AT - 29}, {"nbf": AT + 30}, {"iat": AT + 30}, {"iat": None}):
        token = issuer.token(issuer.claims(NOW, **changes), "ec-1")
        assert send(client, token).status_code == 200, changes


def unsigned(header: dict[str, Any], claims: dict[str, Any]) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()) for part in (header, claims)]
    return ".".join(part.decode().rstrip("=") for part in parts) + "."


def test_forged_signatures(client: AppClient, issuer: Issuer) -> None:
    claims = issuer.claims(NOW)
    good = issuer.token(claims, "rsa-1")
    head, body, signature = good.split(".")
    other_body = issuer.token(issuer.claims(NOW, sub="root"), "rsa-1").split(".")[1]
    assert refused(client, f"{head}.{other_body}.{signature}") == "token_signature"
    assert refused(client, f"{head}.{body}.{signature[:-4]}AAAA") == "token_signature"
    assert refused(client, f"{head}.{body}.") == "token_signature"
    # a foreign key under a known id
    mine = jwt.encode(claims, other_key(), "ES256", headers={"kid": "ec-1"})
    assert refused(client, mine) == "token_signature"
    for algorithm in ("none", "None", "nOnE", "", None, ["RS256"], "HS256", "RS512"):
        forged = unsigned({"alg": algorithm, "typ": "JWT", "kid": "rsa-1"}, claims)
        assert refused(client, forged) in {"token_algorithm", "malformed_token"}, algorithm


def other_key() -> Any:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def test_the_public_key_is_no_shared_secret(client: AppClient, issuer: Issuer) -> None:
    import hashlib
    import hmac

    header = {"alg": "HS256", "typ": "JWT", "kid": "rsa-1"}
    signed = unsigned(header, issuer.claims(NOW)).rstrip(".")
    mac = hmac.new(issuer.public_pem("rsa-1"), signed.encode(), hashlib.sha256).digest()
    forged = f"{signed}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"
    assert refused(client, forged) == "token_algorithm"


def test_keys_that_a_token_brings_along_are_not_looked_at(
    client: AppClient, issuer: Issuer
) -> None:
    from jwt.algorithms import ECAlgorithm

    key = other_key()
    public = ECAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": "mine"}
    issuer.documents["/mine"] = (200, json.dumps({"keys": [public]}).encode(), {})
    for extra in ({"jwk": public}, {"jku": f"{issuer.url}/mine"}, {"x5u": f"{issuer.url}/mine"}):
        token = jwt.encode(issuer.claims(NOW), key, "ES256", headers={"kid": "mine"} | extra)
        assert refused(client, token) == "token_key_unknown", extra
    assert issuer.requests["/mine"] == 0


def test_headers_that_are_not_understood(client: AppClient, issuer: Issuer) -> None:
    claims = issuer.claims(NOW)
    for header in ({"crit": ["exp"], "exp": AT}, {"typ": "dpop+jwt"}, {"typ": "logout+jwt"}):
        token = issuer.token(claims, "ec-1", **header)
        assert refused(client, token) in {"token_header", "malformed_token"}, header
    assert refused(client, "a.b.c") == "malformed_token"
    assert refused(client, "..") == "malformed_token"
    assert refused(client, issuer.token(claims | {"x": "y" * 20_000}, "ec-1")) == "token_too_long"
    assert refused(client, "no dots") == "malformed_key"


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_a_key_serves_one_algorithm_and_one_use(client: AppClient, issuer: Issuer) -> None:
    issuer.add_ec("enc")
    issuer.add_rsa("weak", bits=1024)
    issuer.add_ec("pinned")
    from tests.integration.admin.oidc_issuer import public_jwk

    rows = {
        "enc": {"use": "enc"},
        "pinned": {"alg": "ES384"},
        "weak": {},
    }
    hidden = {kid: issuer.keys.pop(kid) for kid in rows}
    issuer.extra_keys += [public_jwk(kid, hidden[kid]) | rows[kid] for kid in rows]
    issuer.extra_keys.append({"kty": "oct", "kid": "shared", "k": "c2VjcmV0"})
    issuer.extra_keys.append({"kty": "EC", "crv": "P-256", "kid": "broken", "x": "!", "y": 3})
    for kid in rows:
        token = jwt.encode(
            issuer.claims(NOW),
            hidden[kid],
            "RS256" if kid == "weak" else "ES256",
            headers={"kid": kid},
        )
        assert refused(client, token) == "token_key_unknown", kid
    broken = jwt.encode(issuer.claims(NOW), other_key(), "ES256", headers={"kid": "broken"})
    assert refused(client, broken) == "token_key_unknown"
    crossed = jwt.encode(issuer.claims(NOW), other_key(), "ES256", headers={"kid": "rsa-1"})
    assert refused(client, crossed) == "token_key_unknown"


def test_without_a_key_id_only_a_key_that_is_alone(
    client: AppClient, issuer: Issuer, monotonic: Monotonic
) -> None:
    token = jwt.encode(issuer.claims(NOW), issuer.keys["ec-1"], "ES256")
    assert send(client, token).status_code == 200
    issuer.add_ec("ec-2")
    monotonic.at_s += 3601
    assert refused(client, token) == "token_key_unknown"


def test_keys_turn_without_a_restart(
    client: AppClient, issuer: Issuer, monotonic: Monotonic
) -> None:
    old = issuer.token(issuer.claims(NOW), "ec-1")
    assert send(client, old).status_code == 200
    issuer.add_ec("ec-2")
    new = issuer.token(issuer.claims(NOW), "ec-2")
    monotonic.at_s += 30
    assert send(client, new).status_code == 200  # an unknown id fetched the keys again
    assert issuer.requests["/keys"] == 2
    del issuer.keys["ec-1"]
    monotonic.at_s += 3600
    assert send(client, old).status_code == 200  # exactly as old as they may be
    monotonic.at_s += 1
    assert refused(client, old) == "token_key_unknown"
    assert send(client, new).status_code == 200


def test_made_up_key_ids_do_not_make_calls(
    client: AppClient, issuer: Issuer, monotonic: Monotonic
) -> None:
    good = issuer.token(issuer.claims(NOW), "ec-1")
    assert send(client, good).status_code == 200
    monotonic.at_s += 30
    for k in range(10):
        made_up = jwt.encode(issuer.claims(NOW), other_key(), "ES256", headers={"kid": f"x{k}"})
        assert refused(client, made_up) == "token_key_unknown"
        monotonic.at_s += 2.9
    assert issuer.requests["/keys"] == 2
    monotonic.at_s += 1.0
    assert refused(client, made_up) == "token_key_unknown"
    assert issuer.requests["/keys"] == 3


Break = Callable[[Issuer], None]
BREAKS: dict[str, Break] = {
    "error": lambda i: i.documents.update({DISCOVERY: (500, b"", {})}),
    "no json": lambda i: i.documents.update({DISCOVERY: (200, b"<html>", {})}),
    "list": lambda i: i.documents.update({"/keys": (200, b"[]", {})}),
    "no keys": lambda i: i.documents.update({"/keys": (200, b'{"keys": 3}', {})}),
    "too long": lambda i: i.documents.update({"/keys": (200, b" " * 1_000_001, {})}),
    "redirect": lambda i: i.documents.update(
        {"/keys": (302, b"", {"Location": f"{i.url}/elsewhere"})}
    ),
    "other issuer": lambda i: i.documents.update(
        {DISCOVERY: (200, json.dumps({"issuer": "x", "jwks_uri": f"{i.url}/keys"}).encode(), {})}
    ),
    "keys without tls": lambda i: i.documents.update(
        {
            DISCOVERY: (
                200,
                json.dumps({"issuer": i.url, "jwks_uri": "http://169.254.169.254/k"}).encode(),
                {},
            )
        }
    ),
}


@pytest.mark.parametrize("broken", list(BREAKS))
def test_an_issuer_that_fails_at_first_and_later(
    issuer: Issuer, monotonic: Monotonic, broken: str
) -> None:
    token = issuer.token(issuer.claims(NOW), "ec-1")
    with verifier_of(issuer, monotonic) as verifier:
        BREAKS[broken](issuer)
        with pytest.raises(Unavailable) as caught:
            verifier.verify(token, NOW)
        assert issuer.url not in caught.value.message
        issuer.documents.clear()
        with pytest.raises(Unavailable):  # not asked again so soon
            verifier.verify(token, NOW)
        monotonic.at_s += 30
        assert verifier.verify(token, NOW).prefix == "oidc:user-1"
        BREAKS[broken](issuer)
        monotonic.at_s += timedelta(hours=23).total_seconds()
        assert verifier.verify(token, NOW)  # with the keys there are
        assert issuer.requests["/elsewhere"] == 0
        monotonic.at_s += timedelta(hours=1, seconds=1).total_seconds()
        with pytest.raises(Unavailable):
            verifier.verify(token, NOW)


def test_an_issuer_that_is_away_is_503(
    client: AppClient, issuer: Issuer, keys: dict[Any, str]
) -> None:
    issuer.documents[DISCOVERY] = (500, b"", {})
    answer = send(client, issuer.token(issuer.claims(NOW), "ec-1"))
    assert answer.status_code == 503
    assert answer.json()["code"] == "unavailable"
    assert all(send(client, token).status_code == 200 for token in keys.values())


def test_without_an_issuer_no_token_is_read(anonymous: AppClient, issuer: Issuer) -> None:
    assert refused(anonymous, issuer.token(issuer.claims(NOW), "ec-1")) == "malformed_key"
    assert not issuer.requests
