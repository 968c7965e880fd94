"""The console in a real browser: log in, see the fan chart, read a decision's why, by keyboard."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import expect
from sqlalchemy import Engine

from services.admin.deps import AdminDeps
from services.backtest.service import carry_out
from services.kernel.security.keys import Role
from tests.integration.admin.browser import contrast, keep, log_in
from tests.integration.admin.console_visitor import wait_for_approval
from tests.integration.admin.seeded_fleet import Seeded
from tests.integration.admin.seeded_rows import STEP_S
from tests.integration.admin.seeded_workload import seed_workload

pytestmark = pytest.mark.integration


@pytest.fixture
def measured(database: Engine, seeded: Seeded) -> str:
    """A workload with eighteen hours behind it: enough for a backtest."""
    n = 216
    first = seeded.now - timedelta(seconds=STEP_S * n)
    steps = [first + timedelta(seconds=STEP_S * k) for k in range(n)]
    with database.begin() as connection:
        seed_workload(connection, np.random.default_rng(11), 3, steps)
    return "vision/detector-edge"


def test_from_login_to_why(page: Any, url: str, keys: dict[Role, str]) -> None:
    log_in(page, url, keys[Role.VIEWER])
    assert page.locator("table.fleet tbody tr").count() == 3
    with page.expect_response(lambda answer: "/fleet?search=llama" in answer.url):
        page.fill("input[type=search]", "llama")
    expect(page.locator("table.fleet tbody tr")).to_have_count(1)
    expect(page).to_have_url(f"{url}/?search=llama")
    page.click("text=llama-70b-chat")
    page.wait_for_selector("#charts[data-drawn=true]")
    assert page.locator("canvas").count() == 2
    drawn = page.eval_on_selector(
        "#chart-demand canvas",
        "c => new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size",
    )
    assert drawn > 20, "the chart is blank"
    page.wait_for_selector("article.why")
    page.locator(".segments span", has_text="All").click()
    expect(page.locator("a.entry")).to_have_count(25)
    page.locator("a.entry").nth(3).click()
    expect(page.locator("#why")).to_contain_text("decision 100044")
    assert "From wanted to decided" in page.inner_text("#why")
    assert page.locator("a.entry[aria-current=true]").count() == 1
    with page.expect_response(lambda answer: "/forecasts/ahead" in answer.url) as answer:
        page.check("input[name=hours][value='3']", force=True)
    assert answer.value.ok
    assert page.complaints == []


@pytest.mark.slow
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


@pytest.mark.slow
def test_why_is_one_sentence_and_what_did_nothing_is_folded(
    page: Any, url: str, keys: dict[Role, str]
) -> None:
    log_in(page, url, keys[Role.VIEWER])
    page.goto(f"{url}/workloads/llm-prod/llama-70b-chat")
    page.wait_for_selector("#charts[data-drawn=true]")
    page.wait_for_selector("article.why")
    quiet = page.locator("details.quiet")
    expect(quiet.locator("li").first).to_be_hidden()
    quiet.locator("summary").click()
    expect(quiet.locator("li").first).to_be_visible()
    assert "guards changed nothing" in quiet.inner_text()
    expect(page.locator("svg.reliability").first).to_be_visible()
    assert page.locator("svg.reliability circle").count() >= 9
    assert page.complaints == []


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/", "/workloads/llm-prod/llama-70b-chat", "/backtests"])
def test_pages_fit_a_phone(page: Any, url: str, keys: dict[Role, str], path: str) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    log_in(page, url, keys[Role.ADMIN])
    page.goto(url + path)
    page.wait_for_load_state("networkidle")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.slow
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
    for path, selectors in (
        ("/limits", ("h2", "thead th", ".tag.ok", "td.num", ".muted")),
        ("/models", ("thead th", ".tag.ok", "td.reason")),
        ("/approvals", (".approval p", ".approval time", ".approval .muted", ".down")),
    ):
        page.goto(url + path)
        for selector in selectors:
            assert contrast(page, selector) >= 4.5, (scheme, path, selector)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.click("#theme")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != background
    page.reload()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != background


def see_why_and_approve(page: Any) -> None:
    """From the inbox to a decision's why and back, then approve it with a comment."""
    page.click("nav >> text=Approvals")
    page.locator(".approval >> text=Why").click()
    expect(page.locator("article.why")).to_contain_text("From wanted to decided")
    page.go_back()
    page.fill(".approval input[name=reason]", "campaign")
    keep(page, "approvals")
    page.get_by_role("button", name="Approve sdxl-turbo").click()
    expect(page.get_by_role("status").first).to_contain_text("The operator applies this decision")
    expect(page.locator("main")).to_contain_text("Nothing waits for an answer")


def pause_and_resume(page: Any) -> None:
    """Hold scale-in of one workload for four hours, then nothing any more."""
    page.click("nav >> text=Fleet")
    page.click("text=llama-70b-chat")
    page.wait_for_selector("#charts[data-drawn=true]")
    page.wait_for_selector("article.why")
    keep(page, "workload")
    page.locator("details.pause > summary").click()
    page.select_option("select[name=direction]", "ScaleIn")
    page.select_option("select[name=lasting]", "14400")
    page.fill("details.pause input[name=reason]", "load test")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".message.held")).to_contain_text("until 6 Jan 16:00 UTC")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(".message.held")).to_have_count(0)


def run_a_backtest(page: Any, deps: AdminDeps, workload: str) -> None:
    """Ask for one, follow it while a worker carries it out, read its verdict and its frontier."""
    page.click("nav >> text=Backtests")
    page.select_option("select[name=workloads]", workload)
    page.fill("input[name=replay_hours]", "3")
    page.uncheck("input[value=trailing_percentile]")
    page.uncheck("input[value=static_peak]")
    page.get_by_role("button", name="Run").click()
    expect(page.locator("#progress-h")).to_be_visible()
    carry_out(deps.engine, deps.clock, deps.wall, int(page.url.rpartition("/")[2]))
    expect(page.locator(".verdict").first).to_be_visible()
    page.wait_for_selector("#frontier[data-drawn=true]")
    drawn = page.eval_on_selector(
        "#chart-frontier canvas",
        "c => new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size",
    )
    assert drawn > 20, "the frontier is blank"
    assert page.get_attribute("#frontier", "data-thick") == "Harmony"
    assert 0.0 < float(page.get_attribute("#frontier", "data-widest")) <= 1.0
    assert page.locator("#frontier .legend li").first.inner_text() == "Harmony"
    keep(page, "backtest")


@pytest.mark.slow
def test_a_day_at_the_console(
    page: Any, url: str, keys: dict[Role, str], deps: AdminDeps, measured: str
) -> None:
    wait_for_approval(deps.engine)
    log_in(page, url, keys[Role.ADMIN])
    keep(page, "fleet")
    see_why_and_approve(page)
    pause_and_resume(page)
    run_a_backtest(page, deps, measured)
    page.click("nav >> text=Audit")
    for action in ("backtest.submit", "pause.lift", "pause.set", "decision.approve"):
        expect(page.locator("tbody")).to_contain_text(action)
    assert page.complaints == []
