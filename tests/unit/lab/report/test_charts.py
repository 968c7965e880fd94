"""Charts of the page."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from services.lab.report import render_report
from tests.unit.lab.report.pages import R, check


def test_a_fan_with_nothing_known_still_renders(data):
    fan = data.fans[0]
    empty = replace(
        fan, demand=np.full(R, np.nan), quantiles=np.full((5, R), np.nan), ready_capacity=None
    )
    check(render_report(replace(data, fans=(empty,))))


def test_a_month_is_thinned(data):
    n = 30 * 1440
    scores = tuple(
        replace(s, step_gpus=np.full(n, 9.0), step_cost_usd=np.full(n, 1.0)) for s in data.scores
    )
    html = render_report(replace(data, scores=scores, needed_gpus=np.full(n, 5.0), fans=()))
    assert len(html) < 600_000
