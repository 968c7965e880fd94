"""A dot for each service and policy."""

from __future__ import annotations

import re
from dataclasses import replace
from html import escape

import numpy as np

from services.lab.report.dots import dots_chart


def with_rates(data, **rates):
    scores = tuple(
        replace(s, workload_violation_rate=np.array(rates[s.name])) if s.name in rates else s
        for s in data.scores
    )
    return replace(data, scores=scores)


def circles(svg):
    """Horizontal place and title of each dot."""
    found = re.findall(r'<circle cx="([0-9.]+)"[^>]*><title>([^<]*)</title>', svg)
    return [(float(x), title) for x, title in found]


def test_each_service_has_a_dot_at_its_rate_and_the_promise_a_line(data):
    svg = dots_chart(with_rates(data, harmony=[0.0, 0.02], hpa=[0.005, 0.01]))
    drawn = circles(svg)
    shown = [s for s in data.scores if s.name != "oracle"]
    assert len(drawn) == len(shown) * len(data.workloads)
    (line_x,) = {float(x) for x in re.findall(r'<line x1="([0-9.]+)"[^>]*class="promise"', svg)}
    by_title = {title: x for x, title in drawn[: len(data.workloads)]}
    assert by_title[f"{escape(data.workloads[0])}: 0.00%"] < line_x
    assert by_title[f"{escape(data.workloads[1])}: 2.00%"] > line_x


def test_a_wild_rate_stands_at_the_end_and_inside_of_the_drawing(data):
    svg = dots_chart(with_rates(data, harmony=[0.9, 0.001]))
    assert max(x for x, _ in circles(svg)) <= 1040 - 24
    assert f"{escape(data.workloads[0])}: 90.00%" in svg


def test_what_is_not_known_has_no_dot(data):
    unknown = {s.name: [np.nan, np.nan] for s in data.scores}
    assert dots_chart(with_rates(data, **unknown)) == ""
    one = with_rates(data, **(unknown | {"harmony": [0.01, np.nan]}))
    assert len(circles(dots_chart(one))) == 1


def test_names_are_escaped(data):
    named = replace(data, workloads=("a<b", *data.workloads[1:]))
    assert "a<b" not in dots_chart(named)
    assert "a&lt;b" in dots_chart(named)
