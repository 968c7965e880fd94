"""What decided counts would have held and violated, had they been carried out; pure.

While somebody else scales a workload, each stored decision still says how many replicas Harmony
wanted. The grid simulator carries these counts out over the window: starts take their time, and the
replicas that each step needed are those that were stored when it was over.

Shapes: W workloads, T steps of one window, N start-up times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.simulator.course import Course
from services.simulator.fleet.arrays import BoolArray, FloatArray
from services.simulator.grid_run import simulate_grid
from services.simulator.policies.grid import GridView
from services.simulator.policies.rivals import HARMONY

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, eq=False)
class StoredSteps:
    """What is stored of a workload's window; arrays (T,), NaN where it is not known.

    Attributes:
        start_s: Epoch seconds of the first step.
        step_s: Step length in seconds.
        cost_usd: Cost of what ran.
        gpu_hours: Its GPU-hours.
        gpus: GPUs of a replica.
        needed: Replicas that would have held the demand, by the capacity believed then.
        believed: Share of the step out of SLA, by that capacity.
        measured: Violation of the promise as measured, once it is final.
        requests: Requests that it was measured by.
        missed: Share of these that missed a goal, whatever was promised of them then.
        desired: Count of the decision in force.
        raw: The same before the guards.
        ran: Count that this decision found.
        is_own: Whether that decision was carried out, by Harmony or by who follows it.
    """

    start_s: float
    step_s: float
    cost_usd: FloatArray
    gpu_hours: FloatArray
    gpus: FloatArray
    needed: FloatArray
    believed: FloatArray
    measured: FloatArray
    requests: FloatArray
    missed: FloatArray
    desired: FloatArray
    raw: FloatArray
    ran: FloatArray
    is_own: BoolArray

    @property
    def n_steps(self) -> int:
        """T."""
        return self.desired.size

    @property
    def is_decided(self) -> BoolArray:
        """(T,) a decision was in force, and somebody else scaled."""
        return np.isfinite(self.desired) & ~self.is_own

    @property
    def is_priced(self) -> BoolArray:
        """(T,) it is known too what ran and cost."""
        return self.is_decided & np.isfinite(self.cost_usd)

    @property
    def is_compared(self) -> BoolArray:
        """(T,) it is known too how many GPUs a replica had, so what a count would have cost."""
        return self.is_priced & np.isfinite(self.gpus)

    def counts(self) -> FloatArray:
        """(T,) the counts as they are carried out.

        Where nothing was decided, and where Harmony scaled itself, there stand as many as the next
        decision found: nothing is known of what it would have had, so it gains nothing there.
        """
        counts, following = self.desired.copy(), 0.0
        for t in range(self.n_steps - 1, -1, -1):
            if self.is_decided[t]:
                following = float(self.ran[t])
            else:
                counts[t] = following
        return counts


@dataclass(frozen=True, slots=True, eq=False)
class Replay:
    """A workload whose decisions are to be carried out.

    Attributes:
        steps: What is stored of it.
        usd_per_gpu_hour: Price of a GPU-hour now: that of steps after which nothing ran any more.
        lead_s: (N,) its start-up times; later starts use them again.
    """

    steps: StoredSteps
    usd_per_gpu_hour: float
    lead_s: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class CarriedOut:
    """What would have come of a workload's decisions; arrays (T,), NaN where it is not known.

    Attributes:
        cost_usd: Cost of each step that can be compared.
        gpu_hours: Its GPU-hours.
        believed: Share of it out of SLA, by the capacity believed then.
    """

    cost_usd: FloatArray
    gpu_hours: FloatArray
    believed: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class _DecidedCounts:
    """A policy of one setting that wants what had been decided; its memory is the step."""

    counts: FloatArray
    name: str = HARMONY
    n_settings: int = 1

    def label(self, setting: int) -> str:
        """See `GridPolicy`."""
        return "as decided"

    def initial_state(self) -> int:
        """See `GridPolicy`."""
        return 0

    def decide(self, view: GridView, state: int) -> tuple[FloatArray, int]:
        """See `GridPolicy`."""
        return self.counts[None, :, state], state + 1


def carry_out(replays: Sequence[Replay]) -> list[CarriedOut]:
    """Carry out the decisions of workloads that have one window and one step length.

    A replica has the GPUs that it had in that step, and a GPU-hour costs what it did then, so that
    both sides have one price.

    Args:
        replays: The workloads; all of one grid of steps and one number of start-up times.
    """
    if not replays:
        return []
    counts = np.stack([one.steps.counts() for one in replays])
    run = simulate_grid(_DecidedCounts(counts), _course(replays, counts))
    found = []
    for one, asked, out in zip(replays, run.asked[0], run.violation_ratio[0], strict=True):
        steps = one.steps
        hours = asked.astype(float) * steps.gpus * steps.step_s / HOUR_S
        is_known = steps.is_compared & np.isfinite(steps.needed)
        found.append(
            CarriedOut(
                np.where(steps.is_compared, hours * _usd_per_gpu_hour(one), np.nan),
                np.where(steps.is_compared, hours, np.nan),
                np.where(is_known, out.astype(float), np.nan),
            )
        )
    return found


def _course(replays: Sequence[Replay], counts: FloatArray) -> Course:
    """The window in replicas: a replica carries one of what a step needs."""
    W, first = len(replays), replays[0].steps
    needed = np.stack([one.steps.needed for one in replays])
    return Course(
        history=np.empty((W, 0)),
        demand=needed,
        is_live=np.ones(needed.shape, dtype=bool),
        capacity=np.ones(W),
        capacity_factor=np.ones(needed.shape),
        min_replicas=np.zeros(W),
        max_replicas=np.full(W, np.inf),
        initial=np.array(
            [_found_first(one.steps, row) for one, row in zip(replays, counts, strict=True)]
        ),
        lead_s=np.stack([one.lead_s for one in replays]),
        start_s=first.start_s,
        step_s=first.step_s,
    )


def _found_first(steps: StoredSteps, counts: FloatArray) -> float:
    """Replicas before the window: what the first decision found."""
    decided = np.flatnonzero(steps.is_decided)
    return float(steps.ran[decided[0]]) if decided.size else float(counts[0])


def _usd_per_gpu_hour(one: Replay) -> FloatArray:
    """(T,) price of a GPU-hour in each step, by what was paid for what ran.

    Where nothing ran it is what was paid next, and after all that ran what the spec says now: a
    price that has changed since is not that of the time before.
    """
    steps = one.steps
    is_paid = (steps.gpu_hours > 0) & np.isfinite(steps.cost_usd)
    price = np.full(steps.n_steps + 1, one.usd_per_gpu_hour)
    np.divide(steps.cost_usd, steps.gpu_hours, out=price[:-1], where=is_paid)
    at = np.flatnonzero(np.append(is_paid, True))
    return np.asarray(price[at[np.searchsorted(at, np.arange(steps.n_steps))]])
