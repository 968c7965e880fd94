"""The data of presets keep what their docstrings say."""

from __future__ import annotations

import pytest

from services.kernel.domain.presets import PRESETS, Preset, PresetIndicator, metrics_in


def test_names_are_read_from_an_expression_once_each() -> None:
    text = 'sum(rate(a:b_total{x="y"}[$step])) / sum(rate(c{}[$step])) or sum(rate(c{}[$step]))'
    assert metrics_in(text) == ("a:b_total", "c")


def test_the_newest_name_stands_first() -> None:
    indicator = PresetIndicator("x_ratio", 2, "ratio", ("new{}[$step]", "old{}[$step]"))
    assert indicator.expression == "new{}[$step] or old{}[$step]"


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.name)
def test_a_preset_is_consistent(preset: Preset) -> None:
    names = [indicator.name for indicator in preset.indicators]
    assert len(set(names)) == len(names)
    assert set(preset.demands) <= set(names)
    assert bool(preset.demands) == (preset.counts != "nothing")
    assert preset.sources
    assert preset.marks
    goals = [goal.goal for goal in preset.goals]
    assert len(set(goals)) == len(goals)
    for goal in preset.goals:
        assert list(goal.edges_s) == sorted(set(goal.edges_s)), goal.goal
        assert len(goal.edges_s) >= 4, goal.goal


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.name)
def test_a_latency_indicator_has_its_goal(preset: Preset) -> None:
    of_goal = {"latency": "e2e", "ttft": "ttft", "itl": "itl", "tpot": "tpot", "queue": "queue"}
    quantiles = {i.name for i in preset.indicators if i.name.endswith("_p95_ms")}
    goals = {goal.goal for goal in preset.goals}
    assert {of_goal[name.removesuffix("_p95_ms")] for name in quantiles} <= goals
