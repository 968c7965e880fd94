"""Rivals at other settings than the one that history chose for them, over the same replay.

With hindsight a rival may be read off at any share of time out of SLA: what would the same promise
have cost with it? Nobody could have chosen that setting beforehand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from services.simulator.ledger import PolicyRun
from services.simulator.policies import Hpa, Solo, TrailingPercentileGrid
from services.simulator.run import SimulationSetup, simulate
from services.simulator.tuning import TunedHpa, TunedTrailing

TARGET_FACTORS = (0.25, 0.4, 0.55, 0.7, 0.85, 0.95, 1.1)
MARGIN_STEPS = (-0.1, 0.1, 0.25, 0.5, 1.0, 1.7, 2.5)
"""Of the tuned target utilisation, and on top of the tuned margin."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A rival's replay at one other setting.

    Attributes:
        policy: The rival.
        setting: The setting in words.
        run: The replay.
    """

    policy: str
    setting: str
    run: PolicyRun


def try_settings(
    setup: SimulationSetup, hpa: TunedHpa, trailing: TunedTrailing
) -> tuple[Tried, ...]:
    """Replay both rivals around the setting that history chose."""
    return (*_targets(setup, hpa), *_margins(setup, trailing))


def _targets(setup: SimulationSetup, tuned: TunedHpa) -> Iterator[Tried]:
    own = tuned.config.target_percent
    targets = {min(100, max(1, round(own * factor))) for factor in TARGET_FACTORS} - {own}
    for target in sorted(targets):
        policy = Hpa(replace(tuned.config, target_percent=target))
        run = simulate("hpa", [policy] * setup.fleet.n_workloads, setup)
        yield Tried("hpa", f"target {target} %", run)


def _margins(setup: SimulationSetup, tuned: TunedTrailing) -> Iterator[Tried]:
    grid = tuned.policy.policy
    assert isinstance(grid, TrailingPercentileGrid)
    for more in MARGIN_STEPS:
        changed = replace(grid, margin=round(float(grid.margin) + more, 4))
        policy = Solo(changed)
        run = simulate("trailing_percentile", [policy] * setup.fleet.n_workloads, setup)
        yield Tried("trailing_percentile", changed.label(0), run)
