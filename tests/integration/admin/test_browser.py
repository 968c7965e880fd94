"""The console in a real browser: log in, see the fan chart, read a decision's why, by keyboard."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import expect, sync_playwright

from services.admin.api import make_app
from services.kernel.security import Role

pytestmark = pytest.mark.integration
expect.set_options(timeout=20_000)
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="module")
def chromium() -> str:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail("chromium is missing: apt-get install chromium")
        pytest.skip("chromium is not installed: apt-get install chromium")
    return path


@pytest.fixture
def url(deps, seeded) -> Iterator[str]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(make_app(deps), log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(timeout=10)
    listener.close()


@pytest.fixture
def page(chromium: str) -> Iterator[Any]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.complaints = []
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on(
            "console",
            lambda message: (
                page.complaints.append(message.text)
                if message.type == "error" or "Content Security Policy" in message.text
                else None
            ),
        )
        yield page
        browser.close()


def log_in(page: Any, url: str, key: str) -> None:
    page.goto(url)
    page.fill("#key", key)
    page.keyboard.press("Enter")
    page.wait_for_selector("table.fleet")


def contrast(page: Any, selector: str) -> float:
    """Contrast ratio of an element's text against what is behind it (WCAG 2.2, 1.4.3)."""
    return float(
        page.eval_on_selector(
            selector,
            """element => {
              const canvas = document.createElement('canvas').getContext('2d');
              const rgba = text => {
                canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
                return [...canvas.getImageData(0, 0, 1, 1).data];
              };
              const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
                .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
                .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
              let back = element;
              while (back && rgba(getComputedStyle(back).backgroundColor)[3] === 0)
                back = back.parentElement;
              const a = light(rgba(getComputedStyle(element).color));
              const b = light(rgba(getComputedStyle(back || document.body).backgroundColor));
              return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            }""",
        )
    )


def test_from_login_to_why(page: Any, url: str, keys: dict[Role, str]) -> None:
    log_in(page, url, keys[Role.VIEWER])
    assert page.locator("table.fleet tbody tr").count() == 3
    with page.expect_response(lambda answer: "/fleet?search=llama" in answer.url):
        page.fill("input[type=search]", "llama")
    expect(page.locator("table.fleet tbody tr")).to_have_count(1)
    page.click("text=llama-70b-chat")
    page.wait_for_selector("#charts[data-drawn=true]")
    assert page.locator("canvas").count() == 2
    drawn = page.eval_on_selector(
        "#chart-demand canvas",
        "c => new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size",
    )
    assert drawn > 20, "the chart is blank"
    page.wait_for_selector("article.why")
    page.click("text=All")
    expect(page.locator("a.entry")).to_have_count(25)
    page.locator("a.entry").nth(3).click()
    expect(page.locator("#why")).to_contain_text("decision 100044")
    assert "From wanted to decided" in page.inner_text("#why")
    assert page.locator("a.entry[aria-current=true]").count() == 1
    with page.expect_response(lambda answer: "/forecasts/ahead" in answer.url) as answer:
        page.check("input[name=hours][value='3']", force=True)
    assert answer.value.ok
    assert page.complaints == []


def test_by_keyboard_alone(page: Any, url: str, keys: dict[Role, str]) -> None:
    log_in(page, url, keys[Role.VIEWER])
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.focus("#w-llm-prod-llama-70b-chat")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    page.wait_for_selector("a.entry")
    page.locator("a.entry").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("a.entry[aria-current=true]")
    page.wait_for_selector("article.why")
    assert page.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_legible(page: Any, url: str, keys: dict[Role, str], scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    log_in(page, url, keys[Role.VIEWER])
    fleet = [
        "h1",
        ".tiles dt",
        ".tiles dd.sub",
        "thead th",
        "tbody th a",
        "td small",
        ".tag",
        ".tag.mode-approval",
        ".tag.mode-auto",
        ".top nav a",
        ".who small",
    ]
    for selector in fleet:
        assert contrast(page, selector) >= 4.5, (scheme, selector)
    page.click("text=llama-70b-chat")
    page.wait_for_selector("article.why")
    for selector in (
        ".legend li",
        ".entry time",
        ".up",
        ".trace li:not(.active)",
        ".muted",
        ".segments input:checked + span",
        ".tag.ok",
        ".good",
        ".crumbs a",
    ):
        assert contrast(page, selector) >= 4.5, (scheme, selector)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.click("#theme")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != background
    page.reload()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != background
