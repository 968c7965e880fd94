"""Policies, schedules, freezes and keys in a real browser: with the mouse, by keyboard, legible."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from services.kernel.security.keys import Role
from tests.integration.admin.browser import contrast, keep, log_in
from tests.integration.admin.console_visitor import OWN

pytestmark = [pytest.mark.slow, pytest.mark.integration]


def change_the_policy(page: Any) -> None:
    """Ask for what cannot be, then for mode Auto under another bound, read it, and go on."""
    page.click("text=sdxl-turbo")
    page.get_by_role("link", name="Policy").click()
    page.select_option("select[name=mode]", "Auto")
    page.fill("input[name=min_replicas]", "30")
    page.get_by_role("button", name="Show what would change").click()
    beside = page.locator("#e-min_replicas")
    expect(beside).to_contain_text("min_replicas=30 must be <= max_replicas=24")
    assert contrast(page, "#e-min_replicas") >= 4.5
    page.fill("input[name=min_replicas]", "4")
    page.get_by_role("button", name="Show what would change").click()
    expect(page.locator("table.confirm")).to_contain_text("Harmony applies its decisions by itself")
    keep(page, "policy-confirm")
    assert contrast(page, "table.confirm small") >= 4.5
    page.get_by_role("button", name="Back to the form").click()
    expect(page.locator("input[name=min_replicas]")).to_have_value("4")
    page.get_by_role("button", name="Show what would change").click()
    page.get_by_role("button", name="Make these changes").click()
    expect(page.get_by_role("status").first).to_contain_text("Saved")
    expect(page.locator("table.plain").first).to_contain_text("set here, to Auto soon")
    keep(page, "policy")


def schedule_by_keyboard(page: Any, url: str) -> None:
    """Add a window with Tab, Space and Enter alone, then remove it."""
    page.goto(f"{url}{OWN}/schedules")
    page.locator("details#form > summary").focus()
    page.keyboard.press("Enter")
    for text in ("nights", "", "2200", "0600", "", "12"):
        page.keyboard.press("Tab")
        if text and len(text) == 4:  # hours and minutes are two parts of one field
            page.keyboard.type(text[:2])
            page.keyboard.type(text[2:] + "AM")
        elif text:
            page.keyboard.type(text)
    focused = "document.activeElement.name"
    assert page.evaluate(focused) in {"min_replicas", "max_replicas", "end_time", "freeze"}
    page.fill("input[name=schedule]", "nights")
    page.fill("input[name=start_time]", "22:00")
    page.fill("input[name=end_time]", "06:00")
    page.fill("input[name=max_replicas]", "12")
    page.locator("input[name=days][value='5']").focus()
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    expect(page.locator("tbody")).to_contain_text("Mon to Sat, 22:00 to 06:00")
    keep(page, "schedules")
    page.locator("details.sure > summary", has_text="Remove").focus()
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) != "none", "where the focus is can be seen"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("tbody")).to_contain_text("No schedules")


def freeze_and_end(page: Any) -> None:
    page.click("nav >> text=Freezes")
    page.fill("input[name=scope]", "llm-prod/")
    page.fill("input[name=until_at]", "2026-01-08T08:30")
    page.fill("input[name=reason]", "audit week")
    page.get_by_role("button", name="Freeze", exact=True).click()
    expect(page.locator("tbody")).to_contain_text("all of llm-prod")
    keep(page, "freezes")
    page.locator("details.sure > summary").click()
    page.get_by_role("button", name="End it now").click()
    expect(page.locator("tbody")).to_contain_text("Ended early")


def make_a_key(page: Any) -> None:
    page.click("nav >> text=Keys")
    page.locator("details.card > summary").click()
    page.fill("input[name=key_name]", "grafana")
    page.get_by_role("button", name="Make the key").click()
    token = page.input_value("#token")
    assert token.startswith("hk_")
    for scheme in ("dark", "light"):
        # colours that turn slowly would be measured half way
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        for selector in (".message.made p", "#token", "details.sure > summary", ".tag.ok"):
            assert contrast(page, selector) >= 4.5, (scheme, selector)
    page.click("text=Done")
    assert token not in page.content()
    keep(page, "keys")
    row = page.locator("tbody tr", has_text="grafana")
    row.locator("summary", has_text="Revoke").click()
    row.get_by_role("button", name="Revoke it").click()
    expect(page.locator("tbody tr", has_text="grafana")).to_contain_text("Revoked")


def test_what_an_administrator_sets(page: Any, url: str, keys: dict[Role, str]) -> None:
    log_in(page, url, keys[Role.ADMIN])
    change_the_policy(page)
    schedule_by_keyboard(page, url)
    freeze_and_end(page)
    make_a_key(page)
    expected = "Failed to load resource"  # what was refused with 422
    assert [line for line in page.complaints if expected not in line] == []


CLICKED = """() => {
  const form = document.querySelector('form[action="/keys"]'), refused = [];
  form.querySelector('[name=key_name]').value = 'grafana';
  window.addEventListener('submit', event => {
    refused.push(event.defaultPrevented);
    event.preventDefault();  // the page stays, to be clicked once more
  });
  form.requestSubmit();
  form.requestSubmit();
  window.dispatchEvent(new Event('pageshow'));
  form.requestSubmit();
  return refused;
}"""


def test_a_second_click_sends_a_form_no_second_time(
    page: Any, url: str, keys: dict[Role, str]
) -> None:
    """Two keys were made of it, one of which nobody had seen. Who comes back may send anew."""
    log_in(page, url, keys[Role.ADMIN])
    page.goto(f"{url}/keys")
    assert page.evaluate(CLICKED) == [False, True, False]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_its_text_is_legible(page: Any, url: str, keys: dict[Role, str], scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    log_in(page, url, keys[Role.ADMIN])
    for path, selectors in (
        (
            f"{OWN}/policy",
            ("h2", "label.field", "label.field small", "td .muted", "code", "thead th"),
        ),
        (f"{OWN}/schedules", (".message", ".heading .muted", "thead th", ".empty", "summary")),
        ("/freezes", ("label.field", "label.field small", "button[type=submit]:not(.quiet)")),
        ("/keys", ("tbody th small", ".tag.ok", "details.sure > summary", ".heading .muted")),
    ):
        page.goto(url + path)
        for selector in selectors:
            assert contrast(page, selector) >= 4.5, (scheme, path, selector)
    assert page.complaints == []


def test_on_a_narrow_window_nothing_is_cut_off(page: Any, url: str, keys: dict[Role, str]) -> None:
    page.set_viewport_size({"width": 400, "height": 800})
    log_in(page, url, keys[Role.ADMIN])
    for path in (
        "/", OWN, f"{OWN}/policy", f"{OWN}/schedules", "/approvals", "/backtests", "/models",
        "/limits", "/freezes", "/keys", "/audit", "/audit?check=true", "/frontier", "/advice",
        "/cells", f"{OWN}/timeline", "/decisions/100044",
    ):  # fmt: skip
        page.goto(url + path)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 400, f"{path} is {width} wide: the page itself scrolls sideways"


SPILLED = """() => [...document.querySelectorAll('button, a.button, .tag, summary')]
  .filter(box => box.offsetHeight && box.scrollHeight > box.clientHeight + 2)
  .map(box => box.innerText)"""


@pytest.mark.parametrize("width", [1280, 390])
def test_words_stay_within_their_buttons(
    page: Any, url: str, keys: dict[Role, str], width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    log_in(page, url, keys[Role.ADMIN])
    for path in ("/", OWN, f"{OWN}/policy", f"{OWN}/schedules", "/approvals", "/models", "/keys"):
        page.goto(url + path)
        assert page.evaluate(SPILLED) == [], path
