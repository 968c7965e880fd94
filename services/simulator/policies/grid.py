"""The signature of every rival policy: G settings of it, on W workloads, at one step boundary.

A policy is a pure function with its memory passed in and out. It acts once per step, at the step
boundary, and knows the demand of completed steps only. Knobs are arrays (G,) or numbers, so that a
whole grid of settings runs at once and a single deployment is the grid of one. Shapes: G settings,
W workloads, C context steps, S sample paths, H horizon, F steps of the true future.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from services.simulator.policies.view import RELATIVE_SLACK, PolicyInput

FloatArray = npt.NDArray[np.float64]
Knob = FloatArray | float
"""One value per setting (G,), or one for all of them."""

StateT = TypeVar("StateT")


@dataclass(frozen=True, slots=True, eq=False)
class GridView:
    """View of W workloads at a step boundary, for G settings of a policy.

    Attributes:
        now_s: Epoch seconds of the boundary.
        step_s: Step length in seconds.
        demand: (W, C) demand of completed steps, oldest first; NaN where it was not observed.
        ready: (G, W) replicas that serve now.
        starting: (G, W) replicas asked for that do not serve yet.
        replicas: (G, W) the current spec.
        capacity: (W,) load that one ready replica serves within the SLO, in units of demand.
        min_replicas: (W,) lower bounds.
        max_replicas: (W,) upper bounds.
        paths: (W, S, H) sample paths of the demand from the step that begins now; None: there is
            no forecast.
        future: (W, F) true demand from the step that begins now. Peeking: the oracle's only.
        start_age_s: (G, W, A) ages of the starts on their way, NaN beyond the last; None: not
            known one by one.
        last_violation: (G, W) measured share of the last step out of SLA, NaN where unknown; None
            before the first step.
        last_missed: (G, W) share of the last step's requests that missed the objective, NaN where
            unknown; None: no objective is measured.
        last_ready: (G, W) time-mean of the replicas that served in the last step.
    """

    now_s: float
    step_s: float
    demand: FloatArray
    ready: FloatArray
    starting: FloatArray
    replicas: FloatArray
    capacity: FloatArray
    min_replicas: FloatArray
    max_replicas: FloatArray
    paths: FloatArray | None = None
    future: FloatArray | None = None
    start_age_s: FloatArray | None = None
    last_violation: FloatArray | None = None
    last_missed: FloatArray | None = None
    last_ready: FloatArray | None = None

    def __post_init__(self) -> None:
        """Refuse what no policy could act on."""
        if self.step_s <= 0:
            raise ValueError(f"step_s={self.step_s} must be > 0")
        if self.demand.ndim != 2:
            raise ValueError(f"demand has shape {self.demand.shape}, must be (W, C)")
        if self.replicas.ndim != 2 or self.replicas.shape[1] != self.demand.shape[0]:
            raise ValueError(f"replicas has shape {self.replicas.shape}, must be (G, W)")
        if not np.all(self.capacity > 0):
            raise ValueError("capacity must be > 0")

    @property
    def shape(self) -> tuple[int, int]:
        """(G, W)."""
        return self.replicas.shape[0], self.replicas.shape[1]

    def last_demand(self) -> FloatArray:
        """(W,) demand of the last completed step; NaN where unknown."""
        if self.demand.shape[1] == 0:
            return np.full(self.demand.shape[0], np.nan)
        return self.demand[:, -1]

    def replicas_for(self, load: FloatArray) -> FloatArray:
        """Smallest whole numbers of replicas that serve `load` (..., W); NaN stays NaN."""
        needed: FloatArray = np.ceil(load / self.capacity * (1.0 - RELATIVE_SLACK))
        return needed

    def answer(self, wanted: FloatArray) -> FloatArray:
        """(G, W) whole numbers within bounds; the current spec where `wanted` is NaN."""
        full = np.broadcast_to(wanted, self.shape)
        held = np.where(np.isfinite(full), full, self.replicas)
        return np.clip(held, self.min_replicas, self.max_replicas)


class GridPolicy(Protocol[StateT]):
    """A policy with G settings."""

    @property
    def name(self) -> str:
        """Short name used in tables."""
        ...

    @property
    def n_settings(self) -> int:
        """G."""
        ...

    def label(self, setting: int) -> str:
        """One setting in words, for tables."""
        ...

    def initial_state(self) -> StateT:
        """Memory before the first decision."""
        ...

    def decide(self, view: GridView, state: StateT) -> tuple[FloatArray, StateT]:
        """(G, W) replicas wanted from `view.now_s` on, and the memory for the next step."""
        ...


def column(knob: Knob) -> FloatArray:
    """A knob as (G, 1) or (1, 1), to meet arrays (G, W)."""
    return np.atleast_1d(np.asarray(knob, dtype=float))[:, None]


def count_settings(*knobs: Knob) -> int:
    """G, from knobs of which each has one value or G.

    Raises:
        ValueError: If two knobs disagree.
    """
    sizes = {np.atleast_1d(np.asarray(knob)).size for knob in knobs} - {1}
    if len(sizes) > 1:
        raise ValueError(f"knobs have {sorted(sizes)} values: one or the same number each")
    return sizes.pop() if sizes else 1


@dataclass(frozen=True, slots=True)
class Solo(Generic[StateT]):
    """A grid of one setting as the policy of one workload (`view.Policy`)."""

    policy: GridPolicy[StateT]
    name: str = field(default="")

    def __post_init__(self) -> None:
        """Take the policy's name where none is given."""
        if self.policy.n_settings != 1:
            raise ValueError(f"{self.policy.name} has {self.policy.n_settings} settings, not one")
        if not self.name:
            object.__setattr__(self, "name", self.policy.name)

    def initial_state(self) -> StateT:
        """See `Policy`."""
        return self.policy.initial_state()

    def decide(self, view: PolicyInput, state: Any) -> tuple[int, StateT]:
        """See `Policy`."""

        def one(value: float) -> FloatArray:
            return np.full((1, 1), float(value))

        seen = GridView(
            view.now_s,
            view.step_s,
            view.demand[None, :],
            one(view.ready),
            one(view.starting + view.pending),
            one(view.replicas),
            np.array([view.capacity_per_replica]),
            np.array([float(view.min_replicas)]),
            np.array([float(view.max_replicas)]),
            future=None if view.future is None else view.future[None, :],
        )
        wanted, after = self.policy.decide(seen, state)
        return int(wanted[0, 0]), after
