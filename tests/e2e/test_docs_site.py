"""The documentation site, built and read in a real browser that reaches no other host."""

from __future__ import annotations

import functools
import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest

from tests.e2e.questions import QUESTIONS
from tests.integration.admin.browser import find_chromium, visit

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_chromium() is None, reason="needs chromium"),
]
REPOSITORY = Path(__file__).parents[2]
MOST_RESULTS = 5


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a warning of the generator is an error."""
    base = tmp_path_factory.mktemp("docs")
    source, site = base / "source", base / "html"
    for command in (
        ["-m", "services.cli.reference", str(source)],
        ["-m", "sphinx", "-q", "-W", "--keep-going", str(source), str(site)],
    ):
        done = subprocess.run(
            [sys.executable, *command], cwd=REPOSITORY, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    return site


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def page(address: str) -> Iterator[Any]:
    """A page in whose context every other host is out of reach, and noted in `left`."""
    chromium = find_chromium()
    assert chromium is not None
    with visit(chromium) as page:
        page.left = []

        def only_here(route: Any) -> None:
            if route.request.url.startswith(address):
                route.continue_()
            else:
                page.left.append(route.request.url)
                route.abort()

        page.context.route("**/*", only_here)
        yield page


def test_no_request_leaves_the_machine(page: Any, address: str, folder: Path) -> None:
    page.left.clear()
    for path in ("index", "docs/operations", "docs/reference/cli", "search", "genindex"):
        page.goto(f"{address}/{path}.html")
    page.goto(f"{address}/docs/reference/rest-viewer.html")
    page.get_by_role("heading", name="List Workloads").first.wait_for()
    assert page.left == []


def test_pages_are_read_from_a_disk_too(page: Any, folder: Path) -> None:
    page.context.unroute("**/*")
    page.goto((folder / "index.html").as_uri())
    assert page.title().startswith("Harmony")
    page.goto((folder / "docs" / "reference" / "rest-viewer.html").as_uri())
    page.get_by_role("heading", name="List Workloads").first.wait_for()


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.asked)
def test_a_newcomers_question_is_answered(page: Any, address: str, question: Any) -> None:
    page.goto(f"{address}/search.html?q={quote_plus(question.typed)}")
    page.wait_for_function(
        "/found|match/.test(document.querySelector('.search-summary')?.innerText)"
    )
    links = [link.get_attribute("href") for link in page.query_selector_all("ul.search li > a")]
    found = [str(link).split("?")[0].split("#")[0] for link in links[:MOST_RESULTS]]
    assert question.page in found, found
    page.goto(f"{address}/{question.page}")
    assert question.answer in page.inner_text("article")


def test_there_are_thirty_questions() -> None:
    assert len({question.asked for question in QUESTIONS}) >= 30
