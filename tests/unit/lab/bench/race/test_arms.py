"""Each arm differs from what is shipped in the one thing that it is named for."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from decider import DecideConfig
from services.lab.bench.race.arms import BASE, IN_HINDSIGHT, RACE_ARMS, SHIPPED, ForecastSource


def test_the_base_decides_as_the_service_does() -> None:
    """Counterfactuals of explanations change no count."""
    assert replace(BASE, epsilons=DecideConfig().epsilons) == DecideConfig()
    assert SHIPPED.said is ForecastSource.ISSUED
    assert SHIPPED.is_integrated


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("no_spread", {"spread_sigma"}),
        ("no_floor", {"reactive_floor_ratio"}),
        ("no_change_costs", {"start_cost_steps", "stop_cost_steps"}),
        ("by_paths", set()),
        ("uncalibrated", set()),
    ],
)
def test_one_part_is_left_out(name: str, changed: set[str]) -> None:
    arm, base = RACE_ARMS[name], asdict(BASE)
    assert {key for key, value in asdict(arm.config).items() if value != base[key]} == changed
    assert (arm.said, arm.is_integrated, arm.config) != (SHIPPED.said, True, SHIPPED.config)


def test_what_is_known_in_hindsight_is_told_apart_from_what_a_forecaster_says() -> None:
    knowing = {name for name, arm in RACE_ARMS.items() if arm.said in IN_HINDSIGHT}
    assert knowing == {"perfect", "level_known"}
    assert len({arm.about for arm in RACE_ARMS.values()}) == len(RACE_ARMS)
