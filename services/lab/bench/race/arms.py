"""Harmony with one part left out or made perfect: where its cost over the oracle comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from decider import DecideConfig

BASE = DecideConfig(epsilons=())
"""What the service runs with; no count depends on the counterfactuals of explanations."""


class ForecastSource(StrEnum):
    """Which forecasts an arm reads.

    Attributes:
        ISSUED: As the service issues them.
        UNCALIBRATED: Not corrected by what came of earlier ones.
        PERFECT: What came, as one path.
        LEVEL: The level at every step, known from both sides of it, and nothing of the step's luck.
    """

    ISSUED = "issued"
    UNCALIBRATED = "uncalibrated"
    PERFECT = "perfect"
    LEVEL = "level"


IN_HINDSIGHT = (ForecastSource.PERFECT, ForecastSource.LEVEL)
"""Made of what came: no forecaster can say them."""


@dataclass(frozen=True, slots=True)
class RaceArm:
    """One arm.

    Attributes:
        about: What is different, for tables.
        config: Settings of the decision stage.
        said: Its forecasts.
        is_integrated: Whether quantile functions are integrated; else 200 sample paths are all
            that is known.
    """

    about: str
    config: DecideConfig = field(default_factory=lambda: BASE)
    said: ForecastSource = ForecastSource.ISSUED
    is_integrated: bool = True


SHIPPED = RaceArm("nothing")
RACE_ARMS: Mapping[str, RaceArm] = {
    "perfect": RaceArm("the future is known", said=ForecastSource.PERFECT, is_integrated=False),
    "level_known": RaceArm(
        "the level is known, the luck of a step is not",
        replace(BASE, spread_sigma=0.0),
        ForecastSource.LEVEL,
    ),
    "by_paths": RaceArm("sample paths in place of their law", is_integrated=False),
    "uncalibrated": RaceArm("no online calibration", said=ForecastSource.UNCALIBRATED),
    "no_spread": RaceArm("no spread beyond the law", replace(BASE, spread_sigma=0.0)),
    "no_floor": RaceArm("no reactive floor", replace(BASE, reactive_floor_ratio=0.0)),
    "no_change_costs": RaceArm(
        "starts and stops cost nothing", replace(BASE, start_cost_steps=0.0, stop_cost_steps=0.0)
    ),
}
