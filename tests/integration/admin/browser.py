"""A real browser for the console's tests: servers to visit, golden pictures, contrast."""

from __future__ import annotations

import io
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from services.admin.app import make_app
from services.admin.deps import AdminDeps

expect.set_options(timeout=60_000)
GOLDEN = Path(__file__).parents[2] / "golden" / "console"
MAX_GOLDEN_BYTES = 60_000
DOCS = Path(__file__).parents[3] / "docs" / "images"
IN_DOCS = {"workload", "backtest"}
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def find_chromium() -> str | None:
    """Path of the browser."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def serve(deps: AdminDeps) -> Iterator[str]:
    """The console's address."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()  # so that who comes before the server has started waits for it
    server = uvicorn.Server(uvicorn.Config(make_app(deps), log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()


@contextmanager
def visit(chromium: str) -> Iterator[Any]:
    """An empty page; `complaints` gathers what the browser says is wrong with it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page: Any = context.new_page()
        page.set_default_timeout(60_000)
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


def keep(page: Any, name: str) -> None:
    """Hold a page against its golden picture; `HARMONY_UPDATE_GOLDEN=1` writes that.

    Fonts differ between machines, so only the coarse picture must be the same.
    """
    seen = Image.open(io.BytesIO(page.screenshot(animations="disabled"))).convert("RGB")
    path = GOLDEN / f"{name}.png"
    if os.environ.get("HARMONY_UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        seen.quantize(64, Image.Quantize.FASTOCTREE).save(path, optimize=True)
        if name in IN_DOCS:
            seen.quantize(128, Image.Quantize.FASTOCTREE).save(
                DOCS / f"console-{name}.png", optimize=True
            )
    assert path.stat().st_size <= MAX_GOLDEN_BYTES, path
    coarse = [
        np.asarray(picture.convert("L").resize((32, 24)), dtype=float)
        for picture in (seen, Image.open(path))
    ]
    apart = np.abs(coarse[0] - coarse[1]).mean()
    assert apart < 12, f"{name} looks different: {apart:.1f} of 255; HARMONY_UPDATE_GOLDEN=1"


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
