"""A small OIDC issuer: a discovery document and a key set over real HTTP, and signed tokens."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

DISCOVERY = "/.well-known/openid-configuration"
AUDIENCE = "harmony"
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
            status, body, headers = issuer.answer(self.path)
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
