"""All runs: each fleet at each start-up, under every setting of every policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.lab.bench.forecast.arm import Tell
from services.lab.bench.supply.cluster import SupplyCluster
from services.lab.bench.supply.demand import GPUS_PER_NODE, STEP_S, SupplyTask, supply_tasks
from services.lab.bench.supply.ledger import SupplyLedger
from services.lab.bench.supply.luck import supply_luck
from services.lab.bench.supply.nodes import PoolRules
from services.lab.bench.supply.options import SupplyOptions
from services.lab.bench.supply.own import PROMISES, run_own
from services.lab.bench.supply.own_side import HarmonySide
from services.lab.bench.supply.rivals import MakeCluster, run_rival, supply_rivals
from services.lab.bench.supply.run_figures import SettingFigures
from services.lab.bench.supply.said import SupplyForecasts, said_of
from services.simulator.policies.rivals import HARMONY


@dataclass(frozen=True, slots=True)
class SupplyCell:
    """One fleet at one start-up.

    Attributes:
        source: Where its demand is from.
        seed: Of demand and luck.
        startup_s: Median of the time that a node takes.
        settings: Figures of all settings of all policies.
    """

    source: str
    seed: int
    startup_s: float
    settings: tuple[SettingFigures, ...]

    def of(self, policy: str) -> tuple[SettingFigures, ...]:
        """Settings of one policy."""
        return tuple(each for each in self.settings if each.policy == policy)


def run_supply(options: SupplyOptions, tell: Tell) -> list[SupplyCell]:
    """Run everything that was asked for.

    Raises:
        InvalidInput: Real demand cannot be used.
    """
    cells = []
    for task in supply_tasks(options):
        said = said_of(task, tell) if HARMONY in options.policies else None
        for startup_s in options.startups_s:
            settings = run_cell(task, options, startup_s, said, tell)
            cells.append(SupplyCell(task.source, task.seed, startup_s, tuple(settings)))
    return cells


def run_cell(
    task: SupplyTask,
    options: SupplyOptions,
    startup_s: float,
    said: SupplyForecasts | None,
    tell: Tell,
) -> Sequence[SettingFigures]:
    """One fleet at one start-up, under all policies.

    Args:
        task: The fleet.
        options: Of the run.
        startup_s: Median of the time that a node takes.
        said: Forecasts; None: Harmony does not run.
        tell: Progress.
    """
    make = cluster_maker(task, options, startup_s)
    found: list[SettingFigures] = []
    for name, rival in supply_rivals(task, startup_s, is_quick=options.is_quick).items():
        if name in options.policies:
            tell(f"{task.source} {task.seed}, start-up {startup_s:g} s: {name}")
            found += run_rival(task, rival, make)
    if said is not None:
        tell(f"{task.source} {task.seed}, start-up {startup_s:g} s: {HARMONY}")
        found += run_own(task, said, [HarmonySide(task, make(), p) for p in PROMISES])
    return found


def cluster_maker(task: SupplyTask, options: SupplyOptions, startup_s: float) -> MakeCluster:
    """Makes clusters that meet the same demand and the same luck."""
    is_spot = options.spot_per_day > 0
    rules = PoolRules(GPUS_PER_NODE, task.most_nodes, startup_s, is_spot=is_spot)
    luck = supply_luck(options, task.seed, task.fleet.n_workloads)
    need, services, initial = task.need, task.services, task.initial

    def make() -> SupplyCluster:
        ledger = SupplyLedger(need, float(STEP_S), task.n_warm_up)
        return SupplyCluster(services, rules, luck, ledger, initial)

    return make
