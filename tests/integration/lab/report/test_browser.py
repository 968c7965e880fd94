"""The report in a real browser: nothing is cut off, on a phone and on a desk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.lab.report import Felt, ReportData, StartTimes, render_report
from tests.integration.admin.browser import find_chromium, visit
from tests.unit.lab.report.conftest import data  # noqa: F401 - the fixture
from tests.unit.lab.report.pages import pooled, with_evidence

pytestmark = [
    pytest.mark.slow,
    pytest.mark.integration,
    pytest.mark.skipif(find_chromium() is None, reason="needs chromium"),
]
CUT_OFF = """
() => {
  const found = [];
  const wide = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > wide) found.push('the page scrolls sideways');
  for (const svg of document.querySelectorAll('svg')) {
    const box = svg.getBoundingClientRect();
    const name = svg.getAttribute('aria-label');
    for (const text of svg.querySelectorAll('text')) {
      const own = text.getBoundingClientRect();
      if (own.left < box.left - 1 || own.right > box.right + 1 || own.top < box.top - 2
          || own.bottom > box.bottom + 2) found.push(name + ': ' + text.textContent);
    }
    const scale = box.width / svg.viewBox.baseVal.width;
    if (11.5 * scale < SMALLEST) found.push(name + ': text is too small');
  }
  for (const box of document.querySelectorAll('.tile, section, header, li, p, h1, h2')) {
    if (box.closest('.scroll') === null && box.scrollWidth > box.clientWidth + 1)
      found.push(box.textContent.trim().slice(0, 60));
  }
  for (const box of document.querySelectorAll('.scroll')) {
    const edge = box.getBoundingClientRect();
    if (edge.right > wide + 1) found.push('a table that scrolls is itself cut off');
  }
  return found;
}
"""
SMALLEST = 8
LONG = "llm-production-west/llama-3-70b-instruct-with-a-long-name"


def large(small: ReportData) -> ReportData:
    """A day of two dozen services, one with a long name."""
    n_services, n_steps = 24, 288
    rng = np.random.default_rng(7)
    names = (LONG, *(f"ns-{k}/service-{k}" for k in range(1, n_services)))
    scores = tuple(
        replace(
            s,
            workload_gpu_hours=rng.uniform(10, 2000, n_services),
            workload_violation_rate=rng.gamma(0.6, 0.01, n_services),
            step_gpus=np.full(n_steps, 1234.0),
            step_cost_usd=np.full(n_steps, 345.6 + 25.0 * k),
            cost_usd=n_steps * (345.6 + 25.0 * k),
        )
        for k, s in enumerate(pooled(with_evidence(small)).scores)
    )
    ratio = np.ones(n_services)
    return replace(
        pooled(with_evidence(small)),
        workloads=names,
        scores=scores,
        needed_gpus=np.full(n_steps, 1000.0),
        felt=Felt(rng.gamma(0.6, 0.01, n_services), ratio, 1.3 * ratio),
        starts=tuple(StartTimes(name, 75.0, rng.lognormal(4.3, 0.4, 40)) for name in names),
        simulated_hours=24.0,
    )


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("size", ["small", "large"])
def test_nothing_is_cut_off(data: ReportData, tmp_path: Path, width: int, size: str) -> None:  # noqa: F811
    shown = with_evidence(data) if size == "small" else large(data)
    file = tmp_path / "report.html"
    file.write_text(render_report(shown))
    chromium = find_chromium()
    assert chromium is not None
    with visit(chromium) as page:
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(file.as_uri())
        page.locator("details summary").first.click()
        found: Any = page.evaluate(CUT_OFF.replace("SMALLEST", str(SMALLEST)))
        assert found == []
        assert page.complaints == []
        assert page.locator("h2").count() >= 9
