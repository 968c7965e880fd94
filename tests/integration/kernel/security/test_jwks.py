"""Keys of a real issuer on loopback: found, kept, fetched again, refused."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from services.kernel.errors import Unavailable
from services.kernel.security.jwks import JwksCache, JwksTimes, ask_json, fits, to_public_key
from services.kernel.security.oidc import is_safe
from tests.integration.admin.oidc_issuer import DISCOVERY, Issuer, public_jwk, serve_issuer

pytestmark = pytest.mark.integration
DAY_S = 86_400.0
TIMES = JwksTimes(ttl_s=3600.0, refetch_s=30.0)
DOWN: tuple[int, bytes, dict[str, str]] = (503, b"", {})


@pytest.fixture(scope="module")
def issuer_of_module() -> Iterator[Issuer]:
    with serve_issuer() as found:
        yield found


@pytest.fixture
def issuer(issuer_of_module: Issuer) -> Issuer:
    issuer_of_module.reset()
    return issuer_of_module


class Kept:
    """Keys of an issuer, and the seconds that have passed."""

    def __init__(self, url: str, is_safe: Callable[[str], bool] = is_safe) -> None:
        self.now_s = 1000.0
        self.cache = JwksCache(url, TIMES, is_safe=is_safe, monotonic=lambda: self.now_s)

    def has(self, kid: str | None, algorithm: str = "RS256") -> bool:
        return self.cache.find(kid, algorithm) is not None


@pytest.fixture
def kept(issuer: Issuer) -> Iterator[Kept]:
    found = Kept(issuer.url)
    yield found
    found.cache.close()


def serve(issuer: Issuer, path: str, body: object) -> None:
    """Answer a path with other JSON than the true one."""
    issuer.documents[path] = 200, json.dumps(body).encode(), {}


def test_a_key_is_found_by_its_id_where_it_fits_the_algorithm(issuer: Issuer, kept: Kept) -> None:
    found = kept.cache.find("rsa-1", "RS256")
    assert found is not None
    assert found.key.public_numbers() == issuer.keys["rsa-1"].public_key().public_numbers()
    assert kept.has("ec-1", "ES256")
    assert not kept.has("rsa-1", "ES256")
    assert not kept.has("ec-1", "ES384")


def test_keys_are_fetched_once_and_again_when_they_are_old(issuer: Issuer, kept: Kept) -> None:
    for _ in range(3):
        assert kept.has("rsa-1")
    kept.now_s += TIMES.ttl_s
    assert kept.has("rsa-1")
    assert (issuer.requests[DISCOVERY], issuer.requests["/keys"]) == (1, 1)
    kept.now_s += 1
    assert kept.has("rsa-1")
    assert (issuer.requests[DISCOVERY], issuer.requests["/keys"]) == (2, 2)


def test_an_id_that_is_not_known_asks_for_one_fetch_in_a_while(issuer: Issuer, kept: Kept) -> None:
    assert kept.has("rsa-1")
    issuer.keys["ec-2"] = issuer.keys["ec-1"]
    assert not kept.has("ec-2", "ES256")
    kept.now_s += TIMES.refetch_s - 1
    assert not kept.has("ec-2", "ES256")
    assert issuer.requests["/keys"] == 1
    kept.now_s += 1
    assert kept.has("ec-2", "ES256")
    assert not kept.has("made-up")
    assert issuer.requests["/keys"] == 2


def test_without_an_id_only_the_one_key_that_fits_is_taken(issuer: Issuer, kept: Kept) -> None:
    assert kept.has(None, "RS256")
    issuer.extra_keys.append(public_jwk("rsa-2", issuer.keys["rsa-1"]))
    kept.now_s += TIMES.ttl_s + 1
    assert not kept.has(None, "RS256")
    assert kept.has(None, "ES256")


def test_keys_stay_in_use_for_a_day_while_the_issuer_is_away(issuer: Issuer, kept: Kept) -> None:
    assert kept.has("rsa-1")
    issuer.documents[DISCOVERY] = DOWN
    kept.now_s += DAY_S
    assert kept.has("rsa-1")
    kept.now_s += 1
    with pytest.raises(Unavailable):
        kept.has("rsa-1")
    del issuer.documents[DISCOVERY]
    kept.now_s += TIMES.refetch_s
    assert kept.has("rsa-1")


def test_the_discovery_document_is_kept_with_the_keys(issuer: Issuer, kept: Kept) -> None:
    assert kept.cache.discovery()["token_endpoint"] == f"{issuer.url}/token"
    assert kept.cache.discovery()["issuer"] == issuer.url
    assert issuer.requests[DISCOVERY] == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (DISCOVERY, {"issuer": "https://another.example", "jwks_uri": "{url}/keys"}),
        (DISCOVERY, {"issuer": "{url}", "jwks_uri": "http://another.example/keys"}),
        (DISCOVERY, {"issuer": "{url}"}),
        (DISCOVERY, ["{url}"]),
        ("/keys", {"keys": {}}),
        ("/keys", {}),
    ],
)
def test_documents_that_cannot_be_trusted_give_no_keys(
    issuer: Issuer, kept: Kept, path: str, body: Any
) -> None:
    serve(issuer, path, json.loads(json.dumps(body).replace("{url}", issuer.url)))
    with pytest.raises(Unavailable):
        kept.has("rsa-1")
    with pytest.raises(Unavailable):
        kept.cache.discovery()


def test_whether_an_address_is_safe_is_not_for_the_cache_to_say(issuer: Issuer) -> None:
    wary = Kept(issuer.url, lambda url: False)
    with pytest.raises(Unavailable):
        wary.has("rsa-1")
    assert issuer.requests["/keys"] == 0
    wary.cache.close()


def test_entries_that_are_no_keys_or_weak_ones_harm_no_others(issuer: Issuer, kept: Kept) -> None:
    issuer.add_rsa("weak", bits=1024)
    issuer.extra_keys += [7, {"kty": "RSA", "kid": "broken"}]  # type: ignore[list-item]
    assert kept.has("rsa-1")
    assert not kept.has("weak")
    assert not kept.has("broken")


@pytest.mark.parametrize(
    ("changes", "algorithm", "is_fit"),
    [
        ({}, "RS256", True),
        ({}, "PS512", True),
        ({}, "ES256", False),
        ({"kty": "EC", "crv": "P-256"}, "ES256", True),
        ({"kty": "EC", "crv": "P-256"}, "ES384", False),
        ({"kty": "OKP", "crv": "Ed25519"}, "EdDSA", True),
        ({"kty": "oct"}, "HS256", False),
        ({"d": "private"}, "RS256", False),
        ({"use": "sig"}, "RS256", True),
        ({"use": "enc"}, "RS256", False),
        ({"alg": "RS256"}, "RS256", True),
        ({"alg": "RS512"}, "RS256", False),
        ({"key_ops": ["sign", "verify"]}, "RS256", True),
        ({"key_ops": ["encrypt"]}, "RS256", False),
        ({"key_ops": "verify"}, "RS256", False),
    ],
)
def test_a_key_fits_by_type_curve_and_use(
    changes: dict[str, Any], algorithm: str, is_fit: bool
) -> None:
    assert fits({"kty": "RSA"} | changes, algorithm) is is_fit


def test_a_key_that_is_malformed_is_none(issuer: Issuer) -> None:
    whole = public_jwk("rsa-1", issuer.keys["rsa-1"])
    assert to_public_key(whole, "RS256") is not None
    assert to_public_key({k: v for k, v in whole.items() if k != "n"}, "RS256") is None


def test_an_answer_is_unpacked_once_within_its_bound(issuer: Issuer) -> None:
    once = {"Content-Encoding": "gzip"}
    twice = {"Content-Encoding": "gzip, gzip"}
    issuer.documents |= {
        "/packed": (200, gzip.compress(b'{"x": 1}'), once),
        "/more": (200, gzip.compress(b" " * 1_000_001), once),
        "/twice": (200, gzip.compress(gzip.compress(b"{}")), twice),
    }
    with httpx.Client(trust_env=False) as client:
        assert ask_json(client, "GET", issuer.url + "/packed") == (200, {"x": 1})
        for path, problem in (("/more", "more than 1000000 bytes"), ("/twice", "'gzip, gzip'")):
            with pytest.raises(ValueError, match=problem):
                ask_json(client, "GET", issuer.url + path)


def test_an_answer_is_an_object_of_bounded_size(issuer: Issuer) -> None:
    empty = json.dumps({"x": ""}).encode()
    bodies = {
        "/most": b" " * (1_000_000 - len(empty)) + empty,
        "/more": b" " * (1_000_001 - len(empty)) + empty,
        "/list": b"[]",
        "/text": b"no JSON",
        "/none": b"",
    }
    issuer.documents |= {path: (200, body, {}) for path, body in bodies.items()}
    issuer.documents["/gone"] = 410, b"", {}
    issuer.documents["/said"] = 400, b'{"error": "invalid"}', {}
    with httpx.Client(trust_env=False) as client:

        def ask(path: str) -> tuple[int, dict[str, Any]]:
            return ask_json(client, "GET", issuer.url + path)

        assert ask("/most") == (200, {"x": ""})
        assert ask("/gone") == (410, {})
        assert ask("/said") == (400, {"error": "invalid"})
        for path, error in (("/more", ValueError), ("/text", ValueError), ("/list", TypeError)):
            with pytest.raises(error):
                ask(path)
        with pytest.raises(ValueError, match=r"."):
            ask("/none")


class Dripping(httpx.SyncByteStream):
    """An answer that comes a byte at a time, and a second passes before each."""

    def __init__(self, kept: Kept, body: bytes) -> None:
        self.kept, self.body, self.n_sent = kept, body, 0

    def __iter__(self) -> Iterator[bytes]:
        for at in range(len(self.body)):
            self.kept.now_s += 1
            self.n_sent += 1
            yield self.body[at : at + 1]


def dripping_client(stream: Dripping) -> httpx.Client:
    return httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, stream=stream)))


def test_an_answer_that_drips_in_is_given_up(kept: Kept) -> None:
    stream = Dripping(kept, b" " * 100_000)
    url = "https://issuer.example/token"
    with (
        dripping_client(stream) as client,
        pytest.raises(httpx.ReadTimeout, match=r"/token: .* longer than 10 s"),
    ):
        ask_json(client, "POST", url, monotonic=lambda: kept.now_s)
    assert stream.n_sent == 11


def test_an_answer_that_comes_in_time_is_taken_byte_by_byte(kept: Kept) -> None:
    with dripping_client(Dripping(kept, b'{"x": 1}')) as client:
        found = ask_json(client, "GET", "https://a.example/", monotonic=lambda: kept.now_s)
    assert found == (200, {"x": 1})


def test_keys_that_drip_in_are_not_fetched_and_those_there_are_stay(kept: Kept) -> None:
    assert kept.has("rsa-1")
    kept.now_s += TIMES.ttl_s + 1
    kept.cache.close()
    stream = Dripping(kept, b" " * 100_000)
    kept.cache._client = dripping_client(stream)
    assert kept.has("rsa-1")
    assert stream.n_sent == 11
