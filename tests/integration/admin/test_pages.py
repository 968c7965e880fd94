"""The console's pages: they render, escape, refuse strangers, and keep the content policy."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import text

from services.kernel.security.keys import Role
from tests.integration.admin.app_client import BASE_URL
from tests.integration.admin.console_visitor import OWN

pytestmark = pytest.mark.integration

PAGES = [
    "/",
    "/fleet",
    "/workloads/llm-prod/llama-70b-chat",
    "/decisions/100040",
    "/workloads/llm-prod/llama-70b-chat/live",
    "/workloads/llm-prod/llama-70b-chat/timeline?changes=false",
    "/approvals",
    "/backtests",
    "/frontier",
    "/models",
    "/limits",
    "/workloads/llm-prod/llama-70b-chat/policy",
    "/workloads/llm-prod/llama-70b-chat/schedules",
    "/freezes",
]


@pytest.mark.usefixtures("seeded")
def test_pages_keep_the_content_policy(console) -> None:
    for path in PAGES:
        answer = console.get(path)
        assert answer.status_code == 200, answer.text
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        page = answer.text
        assert not re.search(r"\son[a-z]+=", page), "an inline handler"
        assert "style=" not in page
        assert not re.search(r"<script(?![^>]*\bsrc=)", page), "an inline script"
        assert "hx-on" not in page
        for url in re.findall(r'(?:src|href)="([^"]+)"', page):
            assert url.startswith(("/", "#")), url


@pytest.mark.usefixtures("seeded")
def test_fleet_page_says_what_an_operator_needs(console) -> None:
    page = console.get("/").text
    for words in (
        "llama-70b-chat",
        "Auto",
        "4 × H100",
        "Promised",
        "Out of SLA",
        "Budget left",
        "Model",
        "awaiting approval",
    ):
        assert words in page, words


@pytest.mark.usefixtures("seeded")
def test_workload_page_links_chart_and_timeline(console) -> None:
    page = console.get("/workloads/llm-prod/llama-70b-chat").text
    assert 'data-api="/v1/workloads/llm-prod/llama-70b-chat"' in page
    assert "Forecast quality" in page
    assert "23 % better" in page
    assert re.search(r"90 % within</th><td[^>]*>\d+ (s|min)", page)
    older = re.search(r'hx-get="([^"]+cursor=[^"]+)"', console.get(PAGES[5]).text)
    assert older is not None
    more = console.get(older.group(1).replace("&amp;", "&"))
    assert "entry" in more.text


@pytest.mark.usefixtures("seeded")
def test_explanation_in_words(console) -> None:
    page = console.get("/decisions/100040", headers={"HX-Request": "true"}).text
    assert "<html" not in page
    for words in (
        "From wanted to decided",
        "Stabilisation window",
        "at a promise of 0.1 %",
        "if replicas started at once",
        "What came of it",
    ):
        assert words in page, words


def test_stranger_is_sent_to_the_login_and_back(anonymous) -> None:
    answer = anonymous.get("/workloads/a/b", headers={"Accept": "text/html"})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?next=/workloads/a/b"
    part = anonymous.get("/fleet", headers={"HX-Request": "true"})
    assert part.status_code == 401
    assert part.headers["hx-redirect"] == "/login"
    shown = {"HX-Request": "true", "HX-Current-URL": "http://["}
    assert anonymous.get("/fleet", headers=shown).headers["hx-redirect"] == "/login"
    assert 'value="/workloads/a/b"' in anonymous.get(answer.headers["location"]).text


@pytest.mark.parametrize(
    ("referer", "back"),
    [
        (f"{BASE_URL}{OWN}/policy?x=1", f"{OWN}/policy"),
        (f"{BASE_URL}/approvals/7/reject", "/"),  # no page of its own
        ("https://evil.test/approvals", "/"),
        ("http://[", "/"),
        ("", "/"),
    ],
)
def test_a_form_that_comes_after_the_session_is_not_taken_for_done(
    anonymous, referer: str, back: str
) -> None:
    sent = {"Origin": BASE_URL, "Referer": referer}
    answer = anonymous.post("/approvals/7/approve", headers=sent)
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/login?next={back}&done=ended"
    login = anonymous.get(answer.headers["location"]).text
    assert "what you sent has changed nothing" in login
    assert f'value="{back}"' in login


def test_login_leads_nowhere_else(anonymous, keys) -> None:
    for target in ("//evil.test", "https://evil.test", "/\\evil.test", "/\nx"):
        answer = anonymous.post(
            "/login",
            data={"key": keys[Role.VIEWER], "next": target},
            headers={"Origin": "http://console.test"},
        )
        assert answer.status_code == 303
        assert answer.headers["location"] == "/", target
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert keys[Role.VIEWER] not in cookie


def test_wrong_key_stays_at_the_login(anonymous) -> None:
    answer = anonymous.post(
        "/login", data={"key": "hk_x_y"}, headers={"Origin": "http://console.test"}
    )
    assert answer.status_code == 401
    assert "not valid" in answer.text
    assert "set-cookie" not in answer.headers


def test_logging_out_ends_the_session(console) -> None:
    token = console.cookies["harmony_session"]
    origin = {"Origin": "http://console.test"}
    assert console.post("/logout", headers=origin).status_code == 303
    console.cookies.set("harmony_session", token)
    assert console.get("/").status_code == 303


def test_another_sites_page_cannot_write(anonymous, keys, admin) -> None:
    login = {"key": keys[Role.ADMIN], "next": "/"}
    assert anonymous.post("/login", data=login).status_code == 403
    evil = {"Origin": "http://evil.test"}
    assert anonymous.post("/login", data=login, headers=evil).status_code == 403
    good = {"Origin": "http://console.test"}
    assert anonymous.post("/login", data=login, headers=good).status_code == 303
    body = {"name": "x", "role": "admin"}
    assert anonymous.post("/v1/keys", json=body, headers=evil).status_code == 403
    assert anonymous.post("/v1/keys", json=body, headers=good).status_code == 201


def test_revoked_key_ends_its_sessions(console, database) -> None:
    assert console.get("/").status_code == 200
    with database.begin() as connection:
        connection.execute(text("UPDATE api_keys SET revoked_at = now() WHERE role = 'viewer'"))
    assert console.get("/").status_code == 303


@pytest.mark.usefixtures("seeded")
def test_names_from_users_are_escaped(console, database) -> None:
    evil = "<script>alert(1)</script>"
    with database.begin() as connection:
        connection.execute(
            text("UPDATE workloads SET name = :name WHERE name = 'llama-70b-chat'"), {"name": evil}
        )
        connection.execute(text("UPDATE actions SET reason = :name"), {"name": f'"{evil}'})
    for path in ("/", "/decisions/100040", f"/?search={evil}"):
        page = console.get(path).text
        assert evil not in page
        assert "&lt;script&gt;" in page


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/v1/workload", 404, "GET /v1/workload: no such route here; /openapi.json lists"),
        ("PATCH", "/v1/workloads", 405, "PATCH /v1/workloads: this route takes GET, HEAD, POST"),
        (
            "PATCH",
            "/v1/workloads/a/b",
            405,
            "PATCH /v1/workloads/a/b: this route takes GET, HEAD, PUT, D",
        ),
    ],
)
def test_a_program_is_told_which_route_there_is_not(
    admin, method: str, path: str, status: int, words: str
) -> None:
    answer = admin.request(method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (
        status,
        "application/problem+json",
    )
    assert answer.json()["detail"].startswith(words)


def test_people_get_a_page_for_an_error(console) -> None:
    for path in ("/workloads/a/none", "/decisions/5", "/nothing/here"):
        answer = console.get(path)
        assert answer.status_code == 404, path
        assert answer.headers["content-type"].startswith("text/html")
        assert "Back to the fleet" in answer.text


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/decisions/abc", "decision_id: abc: must be a whole number"),
        ("/decisions/0", "decision_id: 0: must be at least 1"),
        ("/backtests?cursor=" + "x" * 600, "cursor"),
    ],
)
def test_a_wrong_address_is_told_in_the_words_of_people(console, path: str, words: str) -> None:
    answer = console.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == 422
    assert words in answer.text
    assert "Input should" not in answer.text
    assert "String should" not in answer.text


def test_a_page_weighs_little(console, seeded) -> None:
    page = console.get("/workloads/llm-prod/llama-70b-chat").text
    assets = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', page))
    total = len(page.encode())
    for url in assets:
        answer = console.get(url)
        assert answer.status_code == 200, url
        assert "immutable" in answer.headers["cache-control"]
        raw = answer.headers.get("content-encoding") == "gzip"
        total += int(answer.headers["content-length"]) if not raw else gzip_bytes(console, url)
    assert total <= 150_000, f"{total} bytes"


def gzip_bytes(console, url: str) -> int:
    import gzip

    return len(gzip.compress(console.get(url).content))
