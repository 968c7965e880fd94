"""Measurements of a page by a real browser: first contentful paint, bytes on the wire, requests."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from services.kernel.errors import Unavailable

MAX_PAINT_MS = 1000.0
MAX_PAGE_BYTES = 150_000
COOKIE = "harmony_session"
_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
_SPIN_S = 0.03
_MOST_LOOKS = 600
_MOST_WAITS = 80
_N_SAME = 8
_PAINTED = "performance.getEntriesByName('first-contentful-paint').length > 0"
_SEEN = """() => {
  const [page] = performance.getEntriesByType('navigation');
  const parts = performance.getEntriesByType('resource');
  return {
    paint_ms: performance.getEntriesByName('first-contentful-paint')[0].startTime,
    answer_ms: page.responseStart - page.requestStart,
    n_bytes: page.transferSize + parts.reduce((sum, part) => sum + part.transferSize, 0),
    n_requests: 1 + parts.length,
  };
}"""


@dataclass(frozen=True, slots=True)
class Load:
    """One visit with an empty cache.

    Attributes:
        paint_ms: From the start of the navigation to the first text or picture.
        answer_ms: Of that, waiting for the page's own first byte.
        n_bytes: On the wire, headers included, until nothing more is asked for.
        slowdown: How much longer than its own work a computation took meanwhile; 1: idle machine.
    """

    paint_ms: float
    answer_ms: float
    n_bytes: int
    n_requests: int
    slowdown: float


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser.

    Raises:
        Unavailable: There is none, or nothing to drive it with.
    """
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        path = None
    if path is None:
        raise Unavailable("a browser is needed: apt-get install chromium, pip install playwright")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


def visit(browser: Any, url: str, session: str) -> Load:
    """Load a page with an empty cache.

    Args:
        browser: A browser.
        url: The page's.
        session: Token of a session of the console.

    Raises:
        Unavailable: The page is not served.
    """
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    try:
        # a cookie's path is that of the address it is given with
        origin = "/".join(url.split("/", 3)[:3])
        context.add_cookies([{"name": COOKIE, "value": session, "url": f"{origin}/"}])
        page = context.new_page()
        page.set_default_timeout(60_000)
        before = slowdown()
        answer = page.goto(url, wait_until="load")
        if answer is None or answer.status != 200:
            raise Unavailable(f"{url} is answered {answer and answer.status}")
        _wait_for_paint(page)
        after = slowdown()
        _wait_for_rest(page)
        return Load(**page.evaluate(_SEEN), slowdown=max(before, after))
    finally:
        context.close()


def _wait_for_paint(page: Any) -> None:
    """Wait until something is seen; the page's policy forbids waiting by a script inside it.

    Raises:
        Unavailable: Nothing is.
    """
    for _ in range(_MOST_LOOKS):
        if page.evaluate(_PAINTED):
            return
        page.wait_for_timeout(50)
    raise Unavailable(f"{page.url} paints nothing")


def _wait_for_rest(page: Any) -> None:
    """Wait until nothing more arrives for a while; a page that refreshes itself is never done."""
    seen, n_same = -1, 0
    for _ in range(_MOST_WAITS):
        found = page.evaluate("performance.getEntriesByType('resource').length")
        seen, n_same = found, n_same + 1 if found == seen else 0
        if n_same == _N_SAME:
            return
        page.wait_for_timeout(50)


def slowdown() -> float:
    """Ratio of a computation's elapsed time to its own processor time, here and now."""
    started_s, own_s = time.perf_counter(), time.thread_time()
    while time.thread_time() - own_s < _SPIN_S:
        pass
    return (time.perf_counter() - started_s) / (time.thread_time() - own_s)


def row_of(name: str, loads: Sequence[Load]) -> dict[str, Any]:
    """Figures of one page."""
    paints = [load.paint_ms for load in loads]
    n_bytes = max(load.n_bytes for load in loads)
    return {
        "page": name,
        "paint_ms": round(min(paints)),
        "paint_median_ms": round(statistics.median(paints)),
        "answer_ms": round(min(load.answer_ms for load in loads)),
        "kb": round(n_bytes / 1000, 1),
        "requests": max(load.n_requests for load in loads),
        "slowdown": round(statistics.median(load.slowdown for load in loads), 1),
        "is_kept": min(paints) <= MAX_PAINT_MS and n_bytes <= MAX_PAGE_BYTES,
    }
