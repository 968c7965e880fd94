"""The console's login at an identity provider in a real browser, which is another site for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from services.admin.deps import AdminDeps
from services.kernel.security.oidc_login import make_login
from tests.integration.admin.browser import contrast, keep, serve
from tests.integration.admin.oidc_issuer import Issuer, serve_issuer
from tests.integration.admin.oidc_visitor import settings_for
from tests.integration.admin.seeded_fleet import NOW

pytestmark = [pytest.mark.slow, pytest.mark.integration]


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with serve_issuer() as found:
        found.pages.now = NOW
        found.pages.asks = True
        yield found


@pytest.mark.usefixtures("seeded")
def test_there_and_back_between_two_sites(page: Any, deps: AdminDeps, issuer: Issuer) -> None:
    """The issuer is 127.0.0.1 and the console localhost: SameSite cookies are what they are."""
    login = make_login(settings_for(issuer))
    with serve(replace(deps, oidc_login=login)) as address:
        url = f"http://localhost:{urlsplit(address).port}"
        issuer.pages.redirect_uris = {f"{url}/login/oidc/callback"}
        page.goto(f"{url}/?search=llama")
        expect(page.locator("#provider")).to_be_visible()
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            for selector in ("#provider", ".or span", "button.quiet[type=submit]", ".login p"):
                assert contrast(page, selector) >= 4.5, (scheme, selector)
        page.emulate_media(color_scheme="light")
        page.click("#provider")
        page.click("text=Go on as Ada")
        expect(page.locator("table.fleet tbody tr")).to_have_count(1)
        expect(page).to_have_url(f"{url}/?search=llama")
        expect(page.locator(".who")).to_contain_text("ada@example.org admin")
        page.reload()
        expect(page.locator(".who")).to_contain_text("ada@example.org")
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_role("status").first).to_contain_text("You are logged out")
        keep(page, "login")
        page.click("text=Log out there too")
        expect(page).to_have_title("Logged out")
        issuer.pages.claims = {"groups": ["strangers"]}
        page.goto(f"{url}/login")
        page.keyboard.press("Tab")
        page.focus("#provider")
        page.keyboard.press("Enter")
        page.click("text=Go on as Ada")
        expect(page.get_by_role("alert")).to_contain_text("none of what it says of you")
        expected = "Failed to load resource"  # the refusal, and the issuer's lack of an icon
        assert [line for line in page.complaints if expected not in line] == []
    assert login is not None
    login.close()
