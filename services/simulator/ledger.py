"""Collects the steps of a run into arrays."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np

from services.simulator.accounting import StepAccount, account_step
from services.simulator.engine.specs import Interval
from services.simulator.fleet import Fleet
from services.simulator.fleet.arrays import FloatArray


@dataclass(frozen=True, slots=True)
class PolicyRun:
    """One policy over the replay; every array is (W, R) over workloads and replayed steps.

    Attributes:
        name: The policy.
        spec: Replicas asked for from the step's start on.
        ready_mean: Time-mean ready replicas.
        violation_s: Time out of SLA.
        known_s: Time with known demand.
        shortage: Demand not served within the SLO, load x seconds.
        gpu_s: GPU-seconds held.
        busy_gpu_s: GPU-seconds used.
        initial: (W,) replicas before the first step.
    """

    name: str
    spec: FloatArray
    ready_mean: FloatArray
    violation_s: FloatArray
    known_s: FloatArray
    shortage: FloatArray
    gpu_s: FloatArray
    busy_gpu_s: FloatArray
    initial: FloatArray

    def first(self, n_steps: int) -> PolicyRun:
        """The run's first `n_steps`, to compare with a replay that was cut short."""
        arrays = {f.name: getattr(self, f.name) for f in fields(self)}
        for name, array in arrays.items():
            if name not in ("name", "initial"):
                arrays[name] = array[:, :n_steps]
        return PolicyRun(**arrays)


class RunLedger:
    """Records steps of the replay as they complete.

    Args:
        fleet: Whose demand, capacity and GPUs count.
        name: The policy that is being run.
        initial: (W,) replicas before the first step.
    """

    def __init__(self, fleet: Fleet, name: str, initial: FloatArray) -> None:
        self._fleet = fleet
        self._name = name
        self._initial = np.asarray(initial, dtype=float)
        shape = (fleet.n_workloads, fleet.n_replay)
        names = [f.name for f in fields(PolicyRun) if f.name not in ("name", "initial")]
        self._arrays = {name: np.full(shape, np.nan) for name in names}
        self._n_recorded = 0

    def record(
        self, workload: int, replay_step: int, spec: int, intervals: Iterable[Interval]
    ) -> StepAccount:
        """Account one step of one workload, and return the account.

        Args:
            workload: Row of the fleet.
            replay_step: Step counted from the start of the replay.
            spec: Replicas asked for during the step.
            intervals: Contiguous pieces that cover it.
        """
        fleet = self._fleet
        owner = fleet.workloads[workload]
        account = account_step(
            intervals,
            float(fleet.demand[workload, fleet.n_history + replay_step]),
            owner.capacity_per_replica,
            owner.gpus_per_replica,
        )
        at = (workload, replay_step)
        self._arrays["spec"][at] = spec
        for field in self._arrays:
            if field != "spec":
                self._arrays[field][at] = getattr(account, field)
        self._n_recorded += 1
        return account

    def run(self, n_steps: int | None = None) -> PolicyRun:
        """The run so far, or its first `n_steps`.

        Raises:
            ValueError: If a step of them was not recorded.
        """
        cut = slice(None, n_steps)
        arrays = {name: array[:, cut] for name, array in self._arrays.items()}
        missing = int(np.isnan(arrays["spec"]).sum())
        if missing:
            raise ValueError(f"{missing} workload steps of the run were never recorded")
        return PolicyRun(name=self._name, initial=self._initial, **arrays)
