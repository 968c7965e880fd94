"""The reliability plot."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from services.lab.report import Reliability
from services.lab.report.calibration import calibration_chart, calibration_line
from tests.unit.lab.report.pages import with_evidence


def test_what_was_said_is_across_and_what_came_upwards(data):
    svg = calibration_chart(with_evidence(data))
    dots = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"[^>]*><title>([^<]*)', svg)
    assert len(dots) == 5
    (diagonal,) = re.findall(r'<line [^>]*class="axis diagonal"', svg)
    x1, y1, x2, y2 = map(float, re.findall(r'\b[xy][12]="([\d.]+)"', diagonal))
    for x, y, said in dots:
        level, came = (float(n) / 100 for n in re.findall(r"([\d.]+)%", said))
        on_line = y1 + (float(x) - x1) / (x2 - x1) * (y2 - y1)
        assert (float(y) < on_line - 0.1) == (came > level), said


def test_the_furthest_is_said(data):
    said = calibration_line(with_evidence(data))
    assert said.startswith("1,234 forecasts, made 5 minutes ahead.")
    assert "at or below the 75% quantile in 85.0% of all steps" in said


def test_nothing_is_shown_where_nothing_was_compared(data):
    assert calibration_chart(data) == calibration_line(data) == ""
    empty = Reliability(np.zeros(0), np.zeros(0), 0)
    assert calibration_chart(replace(data, calibration=empty)) == ""
    assert calibration_line(replace(data, calibration=empty)) == ""
