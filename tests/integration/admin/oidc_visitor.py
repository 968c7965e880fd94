"""A browser at a console whose people log in at the test issuer, there and back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx
from structlog.testing import capture_logs

from services.admin.app import make_app
from services.admin.deps import AdminDeps
from services.kernel.security.oidc_login import make_login
from services.kernel.settings import Settings
from tests.integration.admin.app_client import BASE_URL
from tests.integration.admin.console_visitor import Person
from tests.integration.admin.oidc_issuer import (
    AUDIENCE,
    CLIENT_ID,
    CLIENT_SECRET,
    Issuer,
)

ROLES = {"sre": "admin", "team-a": ["operator@llm-prod", "viewer@elsewhere"]}
CALLBACK = f"{BASE_URL}/login/oidc/callback"


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
