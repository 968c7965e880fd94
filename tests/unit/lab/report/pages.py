"""A score, and a check that HTML is well formed."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import numpy as np

from services.lab.report import Felt, PoolFigures
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
