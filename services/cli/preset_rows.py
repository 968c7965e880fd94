"""Presets, and what a page has of them, as rows of plain values: for JSON and for show."""

from __future__ import annotations

from typing import Any

from services.kernel.domain import IndicatorSpec
from services.kernel.domain.presets import (
    GOAL_WORDS,
    LOSS_WORDS,
    Bracket,
    Preset,
    PresetFinding,
    PresetFit,
)


def summary(preset: Preset) -> dict[str, Any]:
    """A preset in one row."""
    return {
        "name": preset.name,
        "program": preset.program,
        "place": preset.place,
        "counts": preset.counts,
        "demands": list(preset.demands),
        "loads": dict(preset.loads),
        "goals": [goal.goal for goal in preset.goals],
        "losses": [loss.kind for loss in preset.losses],
        "n_indicators": len(preset.indicators),
        "sources": list(preset.sources),
    }


def indicator_row(indicator: IndicatorSpec) -> dict[str, Any]:
    """An indicator with the fields of a `GPUAutoscaler`."""
    return {
        "name": indicator.name,
        "level": indicator.level,
        "unit": indicator.unit,
        "query": indicator.query,
    }


def goal_rows(preset: Preset) -> list[dict[str, Any]]:
    """The histograms of a preset that a promise can be made on."""
    return [
        {
            "goal": goal.goal,
            "what": GOAL_WORDS[goal.goal],
            "metrics": list(goal.metrics),
            "unit_s": goal.unit_s,
            "edges_s": list(goal.edges_s),
            "needs": goal.needs,
            "note": goal.note,
        }
        for goal in preset.goals
    ]


def loss_rows(preset: Preset) -> list[dict[str, Any]]:
    """The counters of a preset whose requests miss every goal."""
    return [
        {
            "loss": loss.kind,
            "what": LOSS_WORDS[loss.kind],
            "metrics": list(loss.metrics),
            "labels": loss.labels,
            "needs": loss.needs,
        }
        for loss in preset.losses
    ]


def fit_row(fit: PresetFit) -> dict[str, Any]:
    """A preset on a page, for JSON."""
    return {
        "name": fit.preset.name,
        "is_fit": fit.is_fit,
        "n_found": fit.n_found,
        "n_indicators": len(fit.indicators),
        "indicators": [_finding_row(finding) for finding in fit.indicators],
        "goals": [
            {
                **_finding_row(finding),
                "edges_s": list(finding.edges_s),
                "threshold": _bracket_row(finding.bracket),
            }
            for finding in fit.goals
        ],
        "losses": [_finding_row(finding) for finding in fit.losses],
    }


def _finding_row(finding: PresetFinding) -> dict[str, Any]:
    return {
        "name": finding.name,
        "presence": finding.presence,
        "metrics": list(finding.metrics),
        "missing": list(finding.missing),
        "meaning": finding.meaning,
    }


def _bracket_row(found: Bracket | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "threshold_s": found.threshold_s,
        "below_s": found.below_s,
        "above_s": found.above_s,
        "is_exact": found.is_exact,
    }
