"""Presets: the metrics of common GPU serving programs, as data and pure functions."""

from services.kernel.domain.presets.catalog import (
    PRESETS,
    REPLICA_PRESETS,
    filled,
    find_preset,
    preset_indicators,
)
from services.kernel.domain.presets.counts import ObjectiveSeries, objective_series
from services.kernel.domain.presets.demand import demand_counts
from services.kernel.domain.presets.fit import (
    Bracket,
    PresetFinding,
    PresetFit,
    bracket,
    fit_preset,
)
from services.kernel.domain.presets.page import MetricsPage, read_page
from services.kernel.domain.presets.shape import (
    GOAL_WORDS,
    LOSS_WORDS,
    Goal,
    GoalHistogram,
    LossCounter,
    Preset,
    PresetIndicator,
    metrics_in,
)

__all__ = [
    "GOAL_WORDS",
    "LOSS_WORDS",
    "PRESETS",
    "REPLICA_PRESETS",
    "Bracket",
    "Goal",
    "GoalHistogram",
    "LossCounter",
    "MetricsPage",
    "ObjectiveSeries",
    "Preset",
    "PresetFinding",
    "PresetFit",
    "PresetIndicator",
    "bracket",
    "demand_counts",
    "filled",
    "find_preset",
    "fit_preset",
    "metrics_in",
    "objective_series",
    "preset_indicators",
    "read_page",
]
