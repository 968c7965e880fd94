"""Start-up times."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from services.lab.report import StartTimes
from services.lab.report.starts import starts_chart, starts_line
from tests.unit.lab.report.pages import with_evidence


def test_only_services_with_measured_starts_have_a_row(data):
    data = with_evidence(data)
    svg = starts_chart(data)
    (title,) = re.findall(r"<title>([^<]*)</title>", svg)
    assert title == "ns/&lt;a&gt;: 4 starts, median 66 s, 95 % within 181 s, stated 60 s"
    assert starts_line(data).startswith("4 starts were measured.")
    assert starts_chart(replace(data, starts=data.starts[1:])) == ""
    assert starts_line(replace(data, starts=data.starts[1:])) == ""


def test_few_starts_have_no_range(data):
    two = (StartTimes("ns/a", 60.0, np.array([50.0, 61.0])),)
    assert 'class="range"' not in starts_chart(replace(data, starts=two))
    assert 'class="range"' in starts_chart(with_evidence(data))


def test_a_long_name_is_shortened_and_whole_in_the_title(data):
    name = "a-service-with-a-name-that-is-longer-than-it-needs-to-be"
    svg = starts_chart(replace(data, starts=(StartTimes(f"ns/{name}", 60.0, np.array([9.0])),)))
    assert f">{name}<" not in svg
    assert f"ns/{name}: 1 starts" in svg
