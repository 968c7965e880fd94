"""A small OIDC issuer over real HTTP: discovery, key set, signed tokens, and a login with PKCE."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlencode

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

DISCOVERY = "/.well-known/openid-configuration"
AUDIENCE = "harmony"
CLIENT_ID = "harmony-console"
CLIENT_SECRET = "s3cret: & more"
HTML = {"Content-Type": "text/html"}
Answer = tuple[int, bytes, dict[str, str]]
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class Issuer:
    """Serves what a client needs to verify the tokens that it signs.

    Attributes:
        url: Its address, and the value of `iss`.
        keys: Private keys by id; those in the key set are their public halves.
        extra_keys: Further entries of the key set, as they are.
        documents: Answers by path that take the place of the true ones: (status, body, headers).
        requests: How often each path was asked.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.keys: dict[str, PrivateKey] = {}
        self._first: dict[str, PrivateKey] = {}
        self.extra_keys: list[dict[str, Any]] = []
        self.documents: dict[str, tuple[int, bytes, dict[str, str]]] = {}
        self.requests: Counter[str] = Counter()
        self.pages = LoginPages(self)

    def reset(self) -> None:
        """Back to one RSA and one EC key, the same as at first, and the true documents."""
        if not self._first:
            self.add_rsa("rsa-1")
            self.add_ec("ec-1")
            self._first = dict(self.keys)
        self.keys = dict(self._first)
        self.extra_keys.clear()
        self.documents.clear()
        self.requests.clear()
        self.pages = LoginPages(self)

    def add_rsa(self, kid: str, bits: int = 2048) -> None:
        self.keys[kid] = rsa.generate_private_key(public_exponent=65537, key_size=bits)

    def add_ec(self, kid: str) -> None:
        self.keys[kid] = ec.generate_private_key(ec.SECP256R1())

    def answer(self, path: str) -> tuple[int, bytes, dict[str, str]]:
        self.requests[path] += 1
        if path in self.documents:
            return self.documents[path]
        if path == DISCOVERY:
            found: dict[str, Any] = {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
            found |= self.pages.endpoints()
        elif path == "/keys":
            found = {"keys": [public_jwk(kid, key) for kid, key in self.keys.items()]}
            found["keys"] += self.extra_keys
        else:
            return 404, b"", {}
        return 200, json.dumps(found).encode(), {"Content-Type": "application/json"}

    def claims(self, now: datetime, **changes: Any) -> dict[str, Any]:
        """Claims of a token that is good for five minutes; None leaves a claim out."""
        at = int(now.timestamp())
        found = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "user-1",
            "email": "ada@example.org",
            "iat": at,
            "exp": at + 300,
            "groups": ["sre"],
        }
        return {name: value for name, value in (found | changes).items() if value is not None}

    def token(self, claims: dict[str, Any], kid: str, **header: Any) -> str:
        """A token signed with the key of this id."""
        key = self.keys[kid]
        algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
        return jwt.encode(claims, key, algorithm, headers={"kid": kid} | header)

    def public_pem(self, kid: str) -> bytes:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self.keys[kid].public_key().public_bytes(serialization.Encoding.PEM, form)


class LoginPages:
    """The issuer's side of the authorization code flow, strict about what it is sent.

    Attributes:
        client: Id and secret of the one client; without a secret it is a public one.
        methods: How the client may say who it is.
        redirect_uris: Where browsers may be sent back to; empty: anywhere.
        claims: What the next ID token says beside the usual; None leaves a claim out.
        user_info: Answer of the user info endpoint; None: there is none.
        asks: Whether a page is shown on which the person goes on.
        error: Refuses instead, with this code and description.
        now: Time of the tokens.
        seen: Parameters of each authorization request.
    """

    paths = ("/authorize", "/userinfo", "/logout")

    def __init__(self, issuer: Issuer) -> None:
        self.client: tuple[str, str | None] = (CLIENT_ID, CLIENT_SECRET)
        self.methods = ["client_secret_basic"]
        self.redirect_uris: set[str] = set()
        self.claims: dict[str, Any] = {}
        self.user_info: dict[str, Any] | None = None
        self.asks = False
        self.error: tuple[str, str] | None = None
        self.now: datetime | None = None
        self.seen: list[dict[str, str]] = []
        self._issuer = issuer
        self._codes: dict[str, dict[str, str]] = {}

    def endpoints(self) -> dict[str, Any]:
        url = self._issuer.url
        found = {
            "authorization_endpoint": f"{url}/authorize",
            "token_endpoint": f"{url}/token",
            "end_session_endpoint": f"{url}/logout",
            "token_endpoint_auth_methods_supported": self.methods,
        }
        return found | ({"userinfo_endpoint": f"{url}/userinfo"} if self.user_info else {})

    def get(self, path: str, query: str, headers: dict[str, str]) -> Answer:
        if path == "/logout":
            return 200, b"<title>Logged out</title>", HTML
        if path == "/userinfo":
            known = headers.get("Authorization") == "Bearer access"
            return _json(200 if known else 401, self.user_info if known else {})
        return self.authorize(dict(parse_qsl(query)))

    def authorize(self, asked: dict[str, str]) -> Answer:
        self.seen.append(asked)
        is_fit = (
            asked.get("response_type") == "code"
            and asked.get("client_id") == self.client[0]
            and asked.get("code_challenge_method") == "S256"
            and len(asked.get("code_challenge", "")) == 43
            and "openid" in asked.get("scope", "").split()
            and len(asked.get("state", "")) >= 32
            and len(asked.get("nonce", "")) >= 32
            and (not self.redirect_uris or asked.get("redirect_uri") in self.redirect_uris)
        )
        if not is_fit:
            return 400, b"this request cannot be answered", HTML
        if self.error:
            said = {"error": self.error[0], "error_description": self.error[1]}
        else:
            code = f"code-{len(self.seen)}"
            self._codes[code] = asked
            said = {"code": code}
        back = f"{asked['redirect_uri']}?{urlencode(said | {'state': asked['state']})}"
        if self.asks:
            page = f"<title>Sign in</title><a id=go href='{html.escape(back)}'>Go on as Ada</a>"
            return 200, page.encode(), HTML
        return 302, b"", {"Location": back}

    def exchange(self, form: str, authorization: str) -> Answer:
        given = dict(parse_qsl(form))
        identity, secret = given.get("client_id", ""), given.get("client_secret")
        if authorization and "client_secret_basic" in self.methods:
            pair = base64.b64decode(authorization.removeprefix("Basic ")).decode()
            identity, _, secret = (unquote_plus(part) for part in pair.partition(":"))
        asked = self._codes.pop(given.get("code", ""), None)  # a code is good once
        if (identity, secret) != self.client:
            return _json(401, {"error": "invalid_client"})
        digest = hashlib.sha256(given.get("code_verifier", "").encode()).digest()
        is_fit = (
            asked is not None
            and given.get("grant_type") == "authorization_code"
            and given.get("redirect_uri") == asked["redirect_uri"]
            and base64.urlsafe_b64encode(digest).decode().rstrip("=") == asked["code_challenge"]
        )
        if asked is None or not is_fit:
            return _json(400, {"error": "invalid_grant"})
        assert self.now is not None, "a test sets it"
        usual = {"aud": self.client[0], "nonce": asked["nonce"]}
        claims = self._issuer.claims(self.now, **usual | self.claims)
        token = self._issuer.token(claims, "rsa-1")
        return _json(200, {"id_token": token, "access_token": "access", "token_type": "Bearer"})


def _json(status: int, found: dict[str, Any] | None) -> Answer:
    return status, json.dumps(found).encode(), {"Content-Type": "application/json"}


def public_jwk(kid: str, key: PrivateKey) -> dict[str, Any]:
    if isinstance(key, rsa.RSAPrivateKey):
        found = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    else:
        found = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return found | {"kid": kid, "use": "sig"}


@contextmanager
def serve_issuer() -> Iterator[Issuer]:
    """An issuer with one RSA and one EC key, on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            if path in issuer.pages.paths and path not in issuer.documents:
                self.send(issuer.pages.get(path, query, dict(self.headers.items())))
            else:
                self.send(issuer.answer(self.path))

        def do_POST(self) -> None:
            form = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
            if self.path in issuer.documents:
                self.send(issuer.answer(self.path))
            else:
                self.send(issuer.pages.exchange(form, self.headers.get("Authorization", "")))

        def send(self, answer: tuple[int, bytes, dict[str, str]]) -> None:
            status, body, headers = answer
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        issuer = Issuer(f"http://127.0.0.1:{server.server_address[1]}")
        issuer.reset()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield issuer
        finally:
            server.shutdown()
            thread.join()
