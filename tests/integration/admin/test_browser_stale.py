"""A page that is open while its server fails, or while what it shows goes: it says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from services.kernel.security.keys import Role
from tests.integration.admin.browser import contrast, log_in

pytestmark = [pytest.mark.slow, pytest.mark.integration]
OWN = "/workloads/llm-prod/llama-70b-chat"


def answering(status: int) -> Callable[[Any], None]:
    return lambda route: route.fulfill(status=status, body="x")


def test_a_page_that_is_not_refreshed_says_that_it_may_be_old(
    page: Any, url: str, keys: dict[Role, str]
) -> None:
    log_in(page, url, keys[Role.VIEWER])
    page.goto(url + OWN)
    stale = page.locator("#stale")
    expect(stale).to_be_hidden()
    for status, words in (
        (503, "The server answers with an error (503); what you see may be old."),
        (404, "What this page shows is no longer there."),
    ):
        page.route("**/live", answering(status))
        expect(stale).to_have_text(words)
        expect(stale).to_have_attribute("role", "alert")
        page.unroute("**/live")
        expect(stale).to_be_hidden()
    page.route("**/live", lambda route: route.abort())
    expect(stale).to_have_text("The server does not answer; what you see may be old.")
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        assert contrast(page, "#stale") >= 4.5, scheme
    page.click("a.entry >> nth=0")  # what is answered does not hide what is not
    expect(page.locator("article.why")).to_be_visible()
    expect(stale).to_be_visible()
