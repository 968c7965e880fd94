"""The page: complete, self-contained, honest about losses and unknowns."""

from __future__ import annotations

import re
from dataclasses import replace

from services.lab.report import render_report
from tests.unit.lab.report.pages import check, felt, pooled, score


def test_self_contained_and_well_formed(data):
    html = render_report(data)
    checker = check(html)
    assert checker.links == []
    assert "script" not in checker.tags
    assert not re.search(r"url\(|@import|https?://", html)
    assert "prefers-color-scheme: dark" in html
    # dots, cost, violation, allocation, savings, one fan
    assert checker.tags.count("svg") == 6
    assert not re.search(r"\bnan\b", html, re.IGNORECASE)


def test_says_what_the_figures_are(data):
    html = render_report(data)
    for piece in (
        "25.0% less cost than a tuned HPA",
        "0.80%",
        "≤ 1 %",
        "Prices are assumed.",
        "knows future demand",
        "seed",
        "10 minutes before each moment",
        "peak memory",
    ):
        assert piece in html


def test_cost_is_told_as_of_a_month(data):
    html = render_report(data)
    ours = next(s for s in data.scores if s.name == "harmony")
    assert f"<td>{ours.cost_usd * 730 / data.simulated_hours:,.0f}</td>" in html


def test_text_from_data_is_escaped(data):
    html = render_report(data)
    assert "a &lt;trace&gt; &amp; co" in html
    assert "<trace>" not in html
    assert "<knob>" not in html
    assert "ns/<a>" not in html


def test_a_broken_promise_is_in_the_headline(data):
    scores = tuple(
        replace(s, violation_rate=0.05) if s.name == "harmony" else s for s in data.scores
    )
    html = render_report(replace(data, scores=scores))
    assert "but out of SLA for 5.00% of the time" in html


def test_workloads_where_forecasting_does_not_pay_are_named(data):
    scores = tuple(
        score("harmony", 30, 0.01, 0.01, workload_hours=(10.0, 25.0)) if s.name == "harmony" else s
        for s in data.scores
    )
    html = render_report(replace(data, scores=scores))
    assert "did not pay on 1 of 2 workloads" in html
    assert "without violating less: ns/b." in html


def test_without_harmony_without_fans_or_known_violation(data):
    rivals = tuple(
        replace(s, violation_rate=float("nan")) for s in data.scores if s.name != "harmony"
    )
    html = render_report(replace(data, scores=rivals, fans=()))
    check(html)
    assert "unknown" in html
    assert "Cumulative savings" not in html


def test_the_truth_stands_beside_what_was_measured(data):
    assert "As believed" not in render_report(data)
    html = render_report(felt(data))
    check(html)
    assert "measured by Harmony 0.79%, true 0.80%" in html
    for heading in ("Services over", "Worst", "Measured", "As believed"):
        assert f"<th>{heading}</th>" in html
    assert html.index("The promise, service by service") < html.index("<h2>Cost</h2>")
    row = html[html.index('<tr class="ours">') :].split("</tr>")[0]
    shown = re.findall(r"<td[^>]*>([^<]*)</td>", row)
    assert shown[:5] == ["2", "0.80%", "0.80%", "0.79%", "0.40%"]
    assert "no bound, and no promise" in html


def test_pools_are_a_table_of_their_own(data):
    assert "<h2>Pools</h2>" not in render_report(felt(data))
    html = render_report(pooled(data))
    check(html)
    assert "<h2>Pools</h2>" in html
    assert "input_&lt;tokens&gt;" in html
    assert "<td>1 x A100</td>" in html
