"""A score, and a check that HTML is well formed."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import numpy as np

from services.lab.report import Felt, PoolFigures, Reliability, RivalFrontier, StartTimes
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


def felt(data):
    """The same report, scored by what requests felt."""
    scores = tuple(
        replace(s, believed_violation_rate=0.5 * s.violation_rate, n_over_promise=k)
        for k, s in enumerate(data.scores)
    )
    measured = np.array([0.0059, 0.0099])
    return replace(
        data, scores=scores, felt=Felt(measured, np.array([0.8, 1.1]), np.array([0.8, 0.9]))
    )


def pooled(data):
    """The same report, its second service one with two pools."""
    hours = {s.name: 7.0 + k for k, s in enumerate(data.scores)}
    both = (
        PoolFigures("ns/b", "decode", "4 x H100", "output_tokens_per_s", 1.1, 0.9, hours),
        PoolFigures("ns/b", "prefill", "1 x A100", "input_<tokens>", 0.8, 0.8, hours),
    )
    return replace(felt(data), pools=both)


def with_evidence(data):
    """The same report with rivals in hindsight, calibration and start-up times."""
    frontiers = (
        RivalFrontier(
            "hpa",
            ("target 40 %", "target <50> %", "target 60 %"),
            np.array([0.004, 0.012, 0.02]),
            np.array([520.0, 360.0, 320.0]),
        ),
        RivalFrontier(
            "trailing_percentile", ("p95", "p99"), np.array([0.03, 0.02]), np.array([230.0, 280.0])
        ),
    )
    levels = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
    calibration = Reliability(levels, np.array([0.04, 0.26, 0.5, 0.85, 0.96]), 1234)
    starts = (
        StartTimes("ns/<a>", 60.0, np.array([50.0, 61.0, 70.0, 201.0])),
        StartTimes("ns/b", 90.0, np.array([])),
    )
    return replace(data, frontiers=frontiers, calibration=calibration, starts=starts)
