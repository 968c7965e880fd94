"""The REST reference: only for who is logged in, and in a real browser."""

from __future__ import annotations

import re
from typing import Any

import pytest

from services.admin.deps import AdminDeps
from services.kernel.security.keys import Role
from tests.integration.admin.browser import log_in, serve

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]


def test_it_may_write_styles_and_load_nothing_from_elsewhere(console) -> None:
    answer = console.get("/reference")
    rules = dict(
        rule.split(" ", 1) for rule in answer.headers["Content-Security-Policy"].split("; ")
    )
    assert rules["style-src"] == "'self' 'unsafe-inline'"
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == "'self'"
    assert rules["connect-src"] == "'self'"
    assert "unsafe-inline" not in console.get("/").headers["Content-Security-Policy"]


def test_the_viewer_asks_no_other_host_for_a_picture(console) -> None:
    """The rules above would refuse it, with an error in the browser's console."""
    script = console.get("/static/vendor/redoc-2.5.4.standalone.js")
    assert script.status_code == 200
    assert not re.search(r"""src:\s*["']https?:""", script.text)


def test_it_needs_a_login(anonymous) -> None:
    answer = anonymous.get("/reference", follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/login")


@pytest.mark.slow
def test_the_consoles_link_leads_to_every_operation(
    page: Any, deps: AdminDeps, keys: dict[Role, str]
) -> None:
    with serve(deps) as url:
        log_in(page, url, keys[Role.VIEWER])
        page.get_by_role("link", name="API", exact=True).click()
        page.get_by_role("heading", name="List Workloads").first.wait_for()
        assert page.url == f"{url}/reference"
        page.get_by_text("API docs by Redocly").wait_for()
        page.wait_for_load_state("networkidle")
    assert page.complaints == []
