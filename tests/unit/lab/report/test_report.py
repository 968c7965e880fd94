"""The page: complete, self-contained, honest about losses and unknowns."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import numpy as np
import pytest
from rich.console import Console

from services.lab.report import (
    FanChart,
    ReportData,
    render_report,
    scoreboard_table,
    summary_json,
)
from services.lab.report.svg import band_path, line_path, nice_ticks, nice_top, step_path, thinned
from services.simulator import PolicyScore

R = 48
VOID = {"meta", "line", "rect", "path", "br"}


def score(name, gpus, violation, promised=None, workload_hours=(10.0, 20.0)):
    held = np.full(R, float(gpus))
    return PolicyScore(
        name=name,
        gpu_hours=float(held.sum() / 12),
        cost_usd=float(held.sum() / 12 * 2),
        violation_rate=violation,
        promised=promised,
        scale_ops=17,
        unserved_ratio=0.001,
        utilisation=0.7,
        setting="<knob> & more",
        workload_gpu_hours=np.array(workload_hours),
        workload_violation_rate=np.array([violation, violation]),
        step_gpus=held,
        step_cost_usd=held / 12 * 2,
    )


@pytest.fixture
def data():
    T = R
    t = np.arange(T)
    demand = 50 + 20 * np.sin(t / 7)
    demand[5:8] = np.nan
    quantiles = demand * np.array([[0.8], [0.9], [1.0], [1.1], [1.3]])
    fan = FanChart(
        "ns/<a>",
        "tokens/s",
        0.0,
        300.0,
        demand,
        np.array([0.05, 0.25, 0.5, 0.75, 0.95]),
        quantiles,
        np.full(T, 90.0),
        lead_steps=2,
    )
    return ReportData(
        data="a <trace> & co",
        seed=7,
        simulated_hours=4.0,
        start_at=datetime(2026, 1, 12, tzinfo=UTC),
        step_s=300,
        workloads=("ns/<a>", "ns/b"),
        epsilon=0.01,
        scores=(
            score("oracle", 20, 0.0),
            score("hpa", 40, 0.02, 0.01),
            score("harmony", 30, 0.008, 0.01),
            score("trailing_percentile", 35, 0.009, 0.01),
            score("static_peak", 60, 0.0),
        ),
        needed_gpus=np.full(R, 22.0),
        fans=(fan,),
        notes=("Prices are assumed.",),
        wall_s=12.0,
        peak_rss_gib=1.25,
        machine="2 cores",
    )


class Checker(HTMLParser):
    """Balanced tags, and every attribute that could reach the network."""

    def __init__(self):
        super().__init__()
        self.stack, self.links, self.tags = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [v for k, v in attrs if k in ("src", "href", "xlink:href", "data")]
        if tag not in VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.stack.pop() == tag


def check(html):
    checker = Checker()
    checker.feed(html)
    assert checker.stack == []
    return checker


def test_self_contained_and_well_formed(data):
    html = render_report(data)
    checker = check(html)
    assert checker.links == []
    assert "script" not in checker.tags
    assert not re.search(r"url\(|@import|https?://", html)
    assert "prefers-color-scheme: dark" in html
    # cost, violation, allocation, savings, one fan
    assert checker.tags.count("svg") == 5
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


def test_arrays_that_do_not_fit_are_refused(data):
    with pytest.raises(ValueError, match="same steps"):
        replace(data, needed_gpus=np.zeros(R + 1))
    with pytest.raises(ValueError, match="at least one"):
        replace(data, scores=())
    with pytest.raises(ValueError, match="unique"):
        replace(data, scores=data.scores * 2)
    with pytest.raises(ValueError, match="quantiles"):
        replace(data.fans[0], quantiles=np.zeros((2, R)))


def test_summary_has_the_agreed_shape(data):
    summary = summary_json(data)
    assert list(summary) == [
        "data",
        "simulated_hours",
        "workloads",
        "wall_s",
        "peak_rss_gib",
        "policies",
    ]
    assert list(summary["policies"]) == [
        "harmony",
        "hpa",
        "trailing_percentile",
        "static_peak",
        "oracle",
    ]
    assert summary["policies"]["oracle"]["promised"] is None
    assert set(summary["policies"]["harmony"]) == {
        "gpu_hours",
        "cost_usd",
        "violation_rate",
        "promised",
        "scale_ops",
    }


def test_terminal_table(data):
    out = io.StringIO()
    Console(file=out, width=160).print(scoreboard_table(data))
    printed = out.getvalue()
    assert "Harmony" in printed
    assert "-25.0%" in printed
    assert printed.index("Harmony") < printed.index("Oracle")


class TestPrimitives:
    @pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 0.013), (0, 7e6), (-3, 250)])
    def test_ticks_are_round_and_inside(self, low, high):
        ticks = nice_ticks(low, high)
        assert 3 <= len(ticks) <= 8
        assert low - 1e-9 <= ticks[0] <= ticks[-1] <= high * (1 + 1e-9)

    def test_top_is_above(self):
        for high in (0.0, 1e-3, 1.0, 99.0, 12345.0, float("nan")):
            assert nice_top(high) > (high if high == high else 0)

    def test_lines_and_bands_break_at_gaps(self):
        x = np.arange(5.0)
        y = np.array([1, 2, np.nan, 4, 5.0])
        assert line_path(x, y).count("M") == 2
        assert band_path(x, y, y + 1).count("Z") == 2

    def test_steps_hold_until_the_next(self):
        assert step_path(np.array([0.0, 10.0]), np.array([1.0, 2.0]), 20.0) == (
            "M0.0 1.0L10.0 1.0L10.0 2.0L20.0 2.0"
        )

    def test_thinning_averages_blocks_and_skips_gaps(self):
        t = np.arange(2400.0)
        values = np.where(t % 2 == 0, 4.0, np.nan)
        at, thin = thinned(t, values)
        assert at.size == 1200
        assert np.all(thin == 4.0)
