"""Cost against the share of time out of SLA."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from services.lab.report import RivalFrontier
from services.lab.report.data import MONTH_H
from services.lab.report.frontier import equal_rows, frontier_chart, own_month
from tests.unit.lab.report.pages import with_evidence

DOT = re.compile(r'<circle cx="([\d.]+)" cy="([\d.]+)" r="[\d.]+" class="bar (\w+)"><title>([^<]*)')


def test_dearer_is_higher_and_worse_is_further_right(data):
    data = with_evidence(data)
    dots = [(float(x), float(y), name) for x, y, name, _ in DOT.findall(frontier_chart(data))]
    hpa = [(x, y) for x, y, name in dots if name == "hpa"]
    assert [x for x, _ in hpa] == sorted(x for x, _ in hpa)
    assert [y for _, y in hpa] == sorted(y for _, y in hpa)  # y grows downwards
    assert [name for *_, name in dots].count("harmony") == 1
    assert all(0 <= x <= 1040 and 0 <= y <= 340 for x, y, _ in dots)


def test_settings_are_named_and_escaped(data):
    svg = frontier_chart(with_evidence(data))
    assert "target &lt;50&gt; %" in svg
    assert "<50>" not in svg


def test_what_violates_far_more_than_promised_is_left_out(data):
    data = with_evidence(data)
    wild = RivalFrontier("hpa", ("a", "b"), np.array([0.004, 0.6]), np.array([500.0, 10.0]))
    svg = frontier_chart(replace(data, frontiers=(wild,)))
    named = [name for _, _, name, _ in DOT.findall(svg)]
    assert named.count("hpa") == 1


def test_equal_violation_reads_each_rival_at_harmonys_share(data):
    data = with_evidence(data)
    hpa, trailing = equal_rows(data)
    # Harmony: 0.8 % at 240 USD; between 0.4 and 1.2 % the HPA is read off its own line
    share = (np.log(0.008) - np.log(0.004)) / (np.log(0.012) - np.log(0.004))
    cost = 520.0 - share * 160.0
    assert hpa["ratio"] == f"{cost / 240.0:.2f}"
    assert hpa["month"] == f"{cost * MONTH_H / 4.0:,.0f}"
    assert hpa["more"] == f"{(cost - 240.0) * MONTH_H / 4.0:+,.0f}"
    assert (trailing["month"], trailing["ratio"]) == ("not reached", "–")
    assert own_month(data) == f"{240.0 * MONTH_H / 4.0:,.0f}"


@pytest.mark.parametrize("without", ["frontiers", "scores"])
def test_nothing_is_drawn_without_both_sides(data, without):
    kept = tuple(s for s in data.scores if s.name != "harmony")
    data = with_evidence(data)
    data = replace(data, **({"frontiers": ()} if without == "frontiers" else {"scores": kept}))
    assert frontier_chart(data) == ""
    assert equal_rows(data) == []
