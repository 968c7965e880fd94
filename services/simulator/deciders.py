"""How the policies of a run are asked at a step boundary: in one call where all follow one rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from services.simulator.fleet import Fleet
from services.simulator.fleet.arrays import FloatArray
from services.simulator.policies import Hpa, OracleGrid, Policy, PolicyInput, Solo
from services.simulator.policies.grid import GridPolicy, GridView
from services.simulator.policies.reactive.hpa import HpaGrid


@dataclass(frozen=True, slots=True)
class Boundary:
    """A step boundary of a run.

    Attributes:
        step: Index of the step that begins.
        demand: (W, C) measured demand of the steps before it.
        ready: (W,) replicas that serve now.
        starting: (W,) replicas bound to a node but not ready.
        pending: (W,) replicas not yet scheduled.
        replicas: (W,) the current specs.
    """

    step: int
    demand: FloatArray
    ready: Sequence[int]
    starting: Sequence[int]
    pending: Sequence[int]
    replicas: Sequence[int]


class Deciders(Protocol):
    """The policies of a run, with their memory."""

    def decide(self, at: Boundary) -> list[int]:
        """(W,) replicas wanted from the boundary on."""
        ...


def deciders_of(policies: Sequence[Policy[Any]], fleet: Fleet) -> Deciders:
    """The policies of `fleet`; those that are one and the same are asked once for all workloads.

    The answers are the same: a grid treats each workload by itself.

    Args:
        policies: (W,) one per workload.
        fleet: W workloads.
    """
    first = policies[0]
    grid = _grid_of(first) if all(policy is first for policy in policies) else None
    return OneByOne(policies, fleet) if grid is None else Together(grid, fleet)


def _grid_of(policy: Policy[Any]) -> GridPolicy[Any] | None:
    if isinstance(policy, Hpa):
        return HpaGrid(policy.config.target_percent, policy.config)
    return policy.policy if isinstance(policy, Solo) else None


class Together:
    """One rule for all workloads: a grid of one setting."""

    def __init__(self, policy: GridPolicy[Any], fleet: Fleet) -> None:
        """Begin without memory."""
        self._policy, self._fleet = policy, fleet
        self._state = policy.initial_state()
        workloads = fleet.workloads
        self._capacity = np.array([w.capacity_per_replica for w in workloads])
        self._least = np.array([float(w.min_replicas) for w in workloads])
        self._most = np.array([float(w.max_replicas) for w in workloads])

    def decide(self, at: Boundary) -> list[int]:
        """See `Deciders`."""
        fleet = self._fleet
        view = GridView(
            _now_s(fleet, at),
            float(fleet.step_s),
            at.demand,
            _row(at.ready),
            _row(at.starting) + _row(at.pending),
            _row(at.replicas),
            self._capacity,
            self._least,
            self._most,
            future=fleet.demand[:, at.step :] if isinstance(self._policy, OracleGrid) else None,
        )
        wanted, self._state = self._policy.decide(view, self._state)
        return [int(n) for n in wanted[0]]


class OneByOne:
    """A policy of its own for each workload."""

    def __init__(self, policies: Sequence[Policy[Any]], fleet: Fleet) -> None:
        """Begin without memory."""
        self._policies, self._fleet = policies, fleet
        self._states = [policy.initial_state() for policy in policies]

    def decide(self, at: Boundary) -> list[int]:
        """See `Deciders`."""
        fleet, answers = self._fleet, []
        for i, (owner, policy) in enumerate(zip(fleet.workloads, self._policies, strict=True)):
            view = PolicyInput(
                now_s=_now_s(fleet, at),
                step_s=float(fleet.step_s),
                demand=at.demand[i],
                ready=at.ready[i],
                starting=at.starting[i],
                pending=at.pending[i],
                replicas=at.replicas[i],
                capacity_per_replica=owner.capacity_per_replica,
                min_replicas=owner.min_replicas,
                max_replicas=owner.max_replicas,
                future=fleet.demand[i, at.step :] if _sees_future(policy) else None,
            )
            wanted, self._states[i] = policy.decide(view, self._states[i])
            answers.append(wanted)
        return answers


def _now_s(fleet: Fleet, at: Boundary) -> float:
    return float(fleet.start_s + at.step * fleet.step_s)


def _row(values: Sequence[int]) -> FloatArray:
    """(1, W) numbers."""
    return np.array([values], dtype=float)


def _sees_future(policy: Policy[Any]) -> bool:
    return isinstance(policy, Solo) and isinstance(policy.policy, OracleGrid)
