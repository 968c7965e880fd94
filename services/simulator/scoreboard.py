"""Scores of policies on identical demand, and the runs that are always in the table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NotRequired, TypedDict

import numpy as np

from services.kernel.domain.figures import percentage
from services.simulator.fleet import Fleet, ScaledFleet
from services.simulator.fleet.arrays import FloatArray
from services.simulator.hindsight import Tried, try_settings
from services.simulator.history import simulate_history
from services.simulator.ledger import PolicyRun
from services.simulator.policies import Hpa, Solo, StaticGrid
from services.simulator.run import SimulationSetup, oracles, simulate
from services.simulator.served_fleet import ServedFleet
from services.simulator.tuning import TunedSetting, tune_hpa, tune_trailing_percentile


class PolicyScoreJson(TypedDict):
    """One policy in the JSON that the demo writes."""

    gpu_hours: float
    cost_usd: float
    violation_rate: float
    promised: float | None
    scale_ops: int
    believed_violation_rate: NotRequired[float]
    n_over_promise: NotRequired[int]
    n_queued: NotRequired[int]


@dataclass(frozen=True, slots=True)
class PolicyScore:
    """One policy over the replay.

    Attributes:
        name: The policy.
        gpu_hours: GPU-hours held by starting and ready replicas.
        cost_usd: Their price.
        violation_rate: Fraction of known time out of SLA, mean over workloads; by what
            requests felt where they are served by a response.
        promised: The fraction it was asked to keep; None where nothing was promised.
        scale_ops: Changes of a workload's replicas.
        unserved_ratio: Demand beyond capacity over all demand, mean over workloads.
        utilisation: GPU-seconds used over GPU-seconds held.
        setting: How it was set, in words.
        workload_gpu_hours: (W,)
        workload_violation_rate: (W,) NaN where no demand was known.
        step_gpus: (R,) GPUs held in each step, all workloads.
        step_cost_usd: (R,) cost of each step, all workloads.
        believed_violation_rate: The rate by the stated capacity; None where that is the truth.
        n_over_promise: Workloads over the promise by what requests felt; None likewise.
        n_queued: Steps of a workload in which requests waited from one step to the next; likewise.
    """

    name: str
    gpu_hours: float
    cost_usd: float
    violation_rate: float
    promised: float | None
    scale_ops: int
    unserved_ratio: float
    utilisation: float
    setting: str
    workload_gpu_hours: FloatArray
    workload_violation_rate: FloatArray
    step_gpus: FloatArray
    step_cost_usd: FloatArray
    believed_violation_rate: float | None = None
    n_over_promise: int | None = None
    n_queued: int | None = None

    @property
    def worst_rate(self) -> float:
        """Fraction of time out of SLA of the worst workload; NaN where none is known."""
        known = self.workload_violation_rate[np.isfinite(self.workload_violation_rate)]
        return float(known.max()) if known.size else float("nan")

    @property
    def unserved_words(self) -> str:
        """Share of the demand that was not served, for people; nothing is known without demand."""
        return percentage(self.unserved_ratio) if np.isfinite(self.unserved_ratio) else "unknown"

    def to_json(self) -> PolicyScoreJson:
        """The figures of the demo's JSON."""
        found = PolicyScoreJson(
            gpu_hours=round(self.gpu_hours, 3),
            cost_usd=round(self.cost_usd, 2),
            violation_rate=round(self.violation_rate, 6),
            promised=self.promised,
            scale_ops=self.scale_ops,
        )
        if self.believed_violation_rate is not None:
            found["believed_violation_rate"] = round(self.believed_violation_rate, 6)
        if self.n_over_promise is not None:
            found["n_over_promise"] = self.n_over_promise
        if self.n_queued is not None:
            found["n_queued"] = self.n_queued
        return found


def score(
    run: PolicyRun, fleet: Fleet, *, promised: float | None = None, setting: str = ""
) -> PolicyScore:
    """Score a run over the replay, or over the first steps of it that the run covers."""
    n_steps = run.spec.shape[1]
    replayed = slice(fleet.n_history, fleet.n_history + n_steps)
    known_s = run.known_s.sum(axis=1)
    safe_s = np.where(known_s > 0, known_s, np.nan)
    violation = run.violation_s.sum(axis=1) / safe_s
    demanded = np.nansum(fleet.demand[:, replayed], axis=1) * fleet.step_s
    unserved = run.shortage.sum(axis=1) / np.where(demanded > 0, demanded, np.nan)
    step_usd = (run.gpu_s * fleet.price_usd_per_gpu_hour[:, None]).sum(axis=0) / 3600.0
    previous = np.concatenate([run.initial[:, None], run.spec[:, :-1]], axis=1)
    held_s = float(run.gpu_s.sum())
    return PolicyScore(
        name=run.name,
        gpu_hours=held_s / 3600.0,
        cost_usd=float(step_usd.sum()),
        violation_rate=mean_known(violation),
        promised=promised,
        scale_ops=int((run.spec != previous).sum()),
        unserved_ratio=mean_known(unserved),
        utilisation=float(run.busy_gpu_s.sum()) / held_s if held_s > 0 else 0.0,
        setting=setting,
        workload_gpu_hours=run.gpu_s.sum(axis=1) / 3600.0,
        workload_violation_rate=violation,
        step_gpus=run.gpu_s.sum(axis=0) / fleet.step_s,
        step_cost_usd=step_usd,
    )


def service_score(by_target: PolicyScore, run: PolicyRun, scaled: ScaledFleet) -> PolicyScore:
    """The score of services, from that of the targets which are scaled for them.

    By the stated capacity a service is out of SLA as far as its tightest pool is.

    Args:
        by_target: Score of `run` over the targets.
        run: The whole replay.
        scaled: What is scaled for which service.
    """
    known_s = scaled.largest(run.known_s).sum(axis=1)
    violation_s = scaled.largest(run.violation_s).sum(axis=1)
    violation = violation_s / np.where(known_s > 0, known_s, np.nan)
    return replace(
        by_target,
        violation_rate=mean_known(violation),
        workload_violation_rate=violation,
        workload_gpu_hours=scaled.total(by_target.workload_gpu_hours),
    )


def felt_score(
    believed: PolicyScore, run: PolicyRun, served: ServedFleet, epsilon: float
) -> PolicyScore:
    """The score by what requests felt instead of by the stated capacity.

    Args:
        believed: Score of `run` by the stated capacity, by service.
        run: The whole replay.
        served: How its requests were served.
        epsilon: Promised largest fraction of bad steps.
    """
    course = served.course(run.ready_mean)
    violation = served.is_bad(course).mean(axis=1)
    return replace(
        believed,
        violation_rate=float(violation.mean()),
        workload_violation_rate=violation,
        believed_violation_rate=believed.violation_rate,
        n_over_promise=int((violation > epsilon).sum()),
        n_queued=int(sum((step.waiting > 0).sum() for step in course)),
    )


def mean_known(values: FloatArray) -> float:
    """Mean of the values that exist; NaN where there is none."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


@dataclass(frozen=True, slots=True)
class RivalScores:
    """The rivals' scores, what they started from and how they were tuned.

    Attributes:
        scores: HPA, trailing percentile, static peak, oracle.
        runs: The runs behind them, in the same order.
        initial: (W,) replicas that every policy starts from.
        tuned: Settings chosen on history, by policy name.
        tried: Rivals at other settings, where they were asked for.
    """

    scores: tuple[PolicyScore, ...]
    runs: tuple[PolicyRun, ...]
    initial: FloatArray
    tuned: dict[str, TunedSetting]
    tried: tuple[Tried, ...] = ()


def run_rivals(
    fleet: Fleet,
    *,
    epsilon: float,
    seed: int,
    with_hindsight: bool = False,
    past: ServedFleet | None = None,
) -> RivalScores:
    """Tune the rivals on history for `epsilon`, then run each once over the replay.

    Args:
        fleet: Demand and workloads.
        epsilon: Promised fraction of time out of SLA.
        seed: Seed of the start-up luck.
        with_hindsight: Replay them at other settings too.
        past: How the requests of the history were served, which they are tuned by; None: they are
            tuned by the stated capacity.
    """
    initial = simulate_history(fleet).last_spec
    setup = SimulationSetup(fleet, initial, seed)
    hpa = tune_hpa(fleet, epsilon, past)
    trailing = tune_trailing_percentile(fleet, epsilon, past)
    W = fleet.n_workloads
    runs = (
        simulate("hpa", [Hpa(hpa.config)] * W, setup),
        simulate("trailing_percentile", [trailing.policy] * W, setup),
        simulate("static_peak", [Solo(StaticGrid())] * W, setup),
        simulate("oracle", oracles(fleet), setup),
    )
    labels = (hpa.setting.label, trailing.setting.label, "peak of history", "knows the future")
    promises = (epsilon, epsilon, None, None)
    scores = tuple(
        score(run, fleet, promised=promised, setting=label)
        for run, promised, label in zip(runs, promises, labels, strict=True)
    )
    tuned = {"hpa": hpa.setting, "trailing_percentile": trailing.setting}
    tried = try_settings(setup, hpa, trailing) if with_hindsight else ()
    return RivalScores(scores, runs, initial, tuned, tried)
