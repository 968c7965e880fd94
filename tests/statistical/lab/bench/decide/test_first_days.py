"""First days of a service that has run before: with which level of risk it should begin.

`python -m pytest -m slow -q -s tests/statistical/lab/bench/decide/test_first_days.py` prints the
table of docs/decisions/0138. Of four public traces the first 70 % alone are read, and split anew:
no test part of a benchmark is touched. Harmony as deployed begins anew each day, so each day is a
first one. Everything but what it remembers of before is the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from decider import RiskState, Sla, update_risk
from services.backtest.memory import DecisionMemory
from services.lab.bench.decide.deployed import BASE, Deployed
from services.lab.bench.decide.forecasts import Forecasts, learned
from services.lab.bench.decide.run import capacity_beliefs, lead_draws, oracle_run
from services.lab.bench.decide.task import TRAIN_RATIO, DecideOptions, DecideTask, make_decide_task
from services.lab.bench.forecast.task import Protocol, load_task
from services.simulator.fleet.arrays import FloatArray
from services.simulator.grid_run import simulate_grid
from services.simulator.policies.grid import GridView
from services.simulator.policies.reactive.hpa import HpaGrid

pytestmark = pytest.mark.slow

EPSILONS = (0.01, 0.05)


class Days(NamedTuple):
    """Steps before the first start, steps that are counted after each, and who was there before."""

    warm: int
    counted: int
    has_others: bool = True


DAYS = {
    "openb2023": Days(288, 144),
    "alibaba2018_cluster": Days(576, 288),  # steps of 30 s: hours, no days
    "azure_vm_arrivals": Days(288, 288),
    "servegen": Days(144, 144, has_others=False),
}
HPA_PERCENT = (50.0, 90.0)
SEED = 7
Ledgers = Sequence[Sequence[Sequence[RiskState]]]
"""By promise, workload and step."""


@dataclass(frozen=True, slots=True)
class Anew(Deployed):
    """Harmony as deployed that forgets again and again.

    Attributes:
        first_s: Its first start.
        every_s: Time between two.
        begin_s: When its course begins.
        keeps: What it remembers of itself.
        others: Memories that somebody else's counts have left; None: there was nobody.
        takes: What it takes of these.
    """

    first_s: float = 0.0
    every_s: float = 1.0
    begin_s: float = 0.0
    keeps: tuple[str, ...] = ()
    others: Ledgers | None = None
    takes: tuple[str, ...] = ()

    def decide(
        self, view: GridView, state: tuple[DecisionMemory, ...]
    ) -> tuple[FloatArray, tuple[DecisionMemory, ...]]:
        """As deployed, after what is forgotten at a start."""
        starts = (view.now_s - self.first_s) / self.every_s
        if state and starts > -1e-9 and abs(starts - round(starts)) < 1e-9:
            step = round((view.now_s - self.begin_s) / view.step_s)
            state = tuple(
                replace(
                    own,
                    risk=tuple(self._begun(one, g, w, step) for w, one in enumerate(own.risk)),
                )
                for g, own in enumerate(state)
            )
            view = replace(view, last_violation=None)
        return Deployed.decide(self, view, state)

    def _begun(self, before: RiskState, promise: int, workload: int, step: int) -> RiskState:
        kept = {name: getattr(before, name) for name in self.keeps}
        if self.others is not None:
            left = self.others[promise][workload][step]
            kept |= {name: getattr(left, name) for name in self.takes}
        return RiskState(**kept)


class Figures(NamedTuple):
    """Of one arm: share of time out of SLA and cost over the oracle's, means over workloads."""

    rate: float
    cost: float


@dataclass(frozen=True)
class Trace:
    """A trace's task, forecasts, and what somebody else's counts would teach."""

    name: str
    task: DecideTask
    forecasts: Forecasts
    taught: Mapping[float, Ledgers] = field(default_factory=dict)

    def figures(self, arm: Anew) -> dict[float, Figures]:
        """By promise, over whole first days."""
        first, n = self.forecasts.first_step + DAYS[self.name].warm, DAYS[self.name].counted
        part = slice(first, first + (self.task.course.n_steps - first) // n * n)
        run, oracle = simulate_grid(arm, self.task.course, self.forecasts.at), oracle_run(self.task)
        known = self.task.is_known[:, part].astype(float)
        asked, least = run.asked[:, :, part] * known, oracle.asked[0][:, part] * known
        out = run.violation_ratio[:, :, part] * known
        n_known = np.maximum(known.sum(axis=1), 1.0)
        is_there = least.sum(axis=1) > 0
        rate = (out.sum(axis=2) / n_known)[:, is_there].mean(axis=1)
        cost = (asked.sum(axis=2)[:, is_there] / least.sum(axis=1)[is_there]).mean(axis=1)
        return {e: Figures(*p) for e, p in zip(EPSILONS, zip(rate, cost, strict=True), strict=True)}

    def arms(self) -> dict[str, Anew]:
        """Ways to begin, by name."""
        course, own = self.task.course, ("log_multiplier", "level_use")
        step_s, ledger = course.step_s, ("spent_steps", "observed_steps")
        anew = Anew(
            EPSILONS,
            lead_draws(self.task),
            BASE,
            capacity_beliefs(self.task),
            first_s=course.start_s + (self.forecasts.first_step + DAYS[self.name].warm) * step_s,
            every_s=DAYS[self.name].counted * step_s,
            begin_s=course.start_s,
        )
        found = {"stated": anew, "replayed in shadow": replace(anew, keeps=("log_level", *own))}
        for percent, left in self.taught.items():
            beside = replace(anew, keeps=own, others=left, takes=ledger)
            found[f"beside an HPA at {percent:.0f} %, it teaches"] = replace(
                beside, takes=("log_level", *ledger)
            )
            found[f"beside an HPA at {percent:.0f} %, it does not"] = beside
        return found


def made(traces: Path, name: str) -> Trace:
    loaded = load_task(traces / f"{name}.parquet", Protocol.PANEL, max_origins=10**9)
    short = tuple(
        replace(s, values=s.values[:n], observed=s.observed[:n])
        for s in loaded.series
        for n in (round(TRAIN_RATIO * s.n_steps),)
    )
    task = make_decide_task(replace(loaded, series=short), DecideOptions())
    forecasts = learned(task, SEED, lambda _: None)
    taught = taught_by_others(task, forecasts.first_step) if DAYS[name].has_others else {}
    return Trace(name, task, forecasts, taught)


def taught_by_others(task: DecideTask, first_step: int) -> dict[float, Ledgers]:
    """By target, memories as an HPA's counts leave them before each step."""
    run = simulate_grid(HpaGrid(np.array(HPA_PERCENT)), task.course)
    return {
        percent: [
            [left_by(row, known, epsilon, task.course.step_s, first_step) for row, known in
             zip(out, task.is_known, strict=True)]
            for epsilon in EPSILONS
        ]
        for percent, out in zip(HPA_PERCENT, run.violation_ratio, strict=True)
    }  # fmt: skip


def left_by(
    out: FloatArray, known: FloatArray, epsilon: float, step_s: float, first: int
) -> list[RiskState]:
    state, found = RiskState(), []
    for step, ratio in enumerate(out.tolist()):
        found.append(state)
        if step >= first and known[step]:
            state = update_risk(state, ratio, Sla(epsilon), step_s, BASE.risk)
    return found


@pytest.mark.parametrize("name", list(DAYS))
def test_a_level_that_others_have_taught_breaks_the_promise_of_the_first_days(
    traces: Path, name: str
) -> None:
    trace = made(traces, name)
    found = {arm: trace.figures(policy) for arm, policy in trace.arms().items()}
    for arm, by_promise in found.items():
        told = ", ".join(f"{e:.0%}: {one.rate:.2%} {one.cost:.3f}" for e, one in by_promise.items())
        print(f"\n{name}: {arm}: {told}", end="")
    if trace.taught:
        assert gap(found, "it does not") < 0.8 * gap(found, "it teaches")


def gap(found: Mapping[str, Mapping[float, Figures]], ending: str) -> float:
    """Mean distance from the promise, over the promise, of the arms whose name ends so."""
    of = [by_promise for arm, by_promise in found.items() if arm.endswith(ending)]
    return float(np.mean([abs(one[e].rate / e - 1.0) for one in of for e in EPSILONS]))
