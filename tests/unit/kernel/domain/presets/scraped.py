"""Pages of metrics of real programs, and what every preset must find on its own."""

from __future__ import annotations

import math
from pathlib import Path

from services.kernel.domain.presets import (
    PRESETS,
    Goal,
    MetricsPage,
    Preset,
    PresetFit,
    fit_preset,
    metrics_in,
    read_page,
)

PAGES = Path(__file__).parent / "pages"


def page(name: str) -> MetricsPage:
    """A stored page by its name."""
    return read_page((PAGES / f"{name}.txt").read_text())


def fit(preset: str, on: str, **thresholds_s: float) -> PresetFit:
    """A preset on a stored page."""
    asked: dict[Goal, float] = {g.goal: thresholds_s[g.goal] for g in PRESETS[preset].goals
                                if g.goal in thresholds_s}  # fmt: skip
    return fit_preset(PRESETS[preset], page(on), asked)


def there(found: PresetFit) -> set[str]:
    """Names of the indicators that a page has."""
    return {finding.name for finding in found.indicators if finding.presence == "there"}


def edges(found: PresetFit, goal: Goal) -> tuple[float, ...]:
    """Bucket edges of a goal on the page."""
    return next(finding.edges_s for finding in found.goals if finding.name == goal)


def has_the_edges_it_says(preset: str, on: str, *goals: Goal) -> None:
    """The page has the bucket edges that the preset states, for some goals or all."""
    found = fit(preset, on)
    for goal in PRESETS[preset].goals:
        if not goals or goal.goal in goals:
            stored = edges(found, goal.goal)
            assert len(stored) == len(goal.edges_s), goal.goal
            for one, other in zip(stored, goal.edges_s, strict=True):
                assert math.isclose(one, other, rel_tol=1e-9), goal.goal


def names_of(preset: Preset) -> set[str]:
    """Every metric that a preset reads, by all its names."""
    found = {
        metric
        for indicator in preset.indicators
        for expression in indicator.expressions
        for metric in metrics_in(expression)
    }
    found |= {f"{metric}_bucket" for goal in preset.goals for metric in goal.metrics}
    return found | {metric for loss in preset.losses for metric in loss.metrics}


def are_all_on(preset: str, *pages: str) -> None:
    """Every metric that the preset reads is a series of at least one of the pages."""
    samples = frozenset().union(*(page(name).samples for name in pages))
    assert names_of(PRESETS[preset]) - samples == set()
