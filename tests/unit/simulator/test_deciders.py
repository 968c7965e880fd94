"""Workloads that follow one rule are asked together, and answer as each would alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest

from services.simulator import SimulationSetup, simulate
from services.simulator.deciders import OneByOne, Together, deciders_of
from services.simulator.ledger import PolicyRun
from services.simulator.policies import (
    Hpa,
    HpaConfig,
    OracleGrid,
    Policy,
    Solo,
    StaticGrid,
    TrailingPercentileGrid,
)
from tests.unit.simulator.fleets import make_fleet

RULES: dict[str, Callable[[], Policy]] = {
    "hpa": lambda: Hpa(HpaConfig(target_percent=60)),
    "trailing": lambda: Solo(TrailingPercentileGrid(7200.0, 90.0, 0.2)),
    "static": lambda: Solo(StaticGrid()),
    "oracle": lambda: Solo(OracleGrid(130.0)),
}


@pytest.mark.parametrize("rule", RULES)
def test_the_run_is_the_same_together_and_one_by_one(rule: str) -> None:
    rng = np.random.default_rng(5)
    demand = rng.gamma(2.0, 6.0, (5, 260))
    observed = rng.random(demand.shape) > 0.1
    fleet = make_fleet(demand, n_history=120, observed=observed, median_s=90.0)
    setup = SimulationSetup(fleet, np.array([3.0, 9.0, 1.0, 20.0, 5.0]), seed=11)
    shared = RULES[rule]()
    together = simulate("run", [shared] * 5, setup)
    apart = simulate("run", [RULES[rule]() for _ in range(5)], setup)
    assert _arrays(together).keys() == _arrays(apart).keys()
    for name, values in _arrays(together).items():
        np.testing.assert_array_equal(values, _arrays(apart)[name], err_msg=name)


def test_only_one_and_the_same_rule_is_asked_together() -> None:
    fleet = make_fleet(np.ones((2, 40)), n_history=20)
    shared = RULES["trailing"]()
    assert isinstance(deciders_of([shared] * 2, fleet), Together)
    assert isinstance(deciders_of([shared, RULES["trailing"]()], fleet), OneByOne)


def _arrays(run: PolicyRun) -> dict[str, np.ndarray]:
    return {field.name: getattr(run, field.name) for field in fields(run) if field.name != "name"}
