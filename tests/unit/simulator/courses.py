"""Courses, scripted policies and the engine's own luck, for tests of the grid simulator."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from services.simulator import deployment_spec
from services.simulator.engine.pod import EnginePod, draw_start
from services.simulator.engine.specs import NodeSpec
from services.simulator.fleet import Fleet
from services.simulator.fleet_course import measured_demand
from services.simulator.grid_run import Course

ROOMY = (NodeSpec("big", "L4", 100_000),)


def make_course(demand: Any, *, lead_s: Any = 90.0, initial: Any = 1, **changes: Any) -> Course:
    """A course from (W, T) or (T,) demand; capacity 1, steps of 60 s, no history."""
    demand = np.atleast_2d(np.asarray(demand, dtype=float))
    W = demand.shape[0]
    leads = np.asarray(lead_s, dtype=float)
    course = Course(
        history=np.zeros((W, 0)),
        demand=demand,
        is_live=np.ones(demand.shape, dtype=bool),
        capacity=np.ones(W),
        capacity_factor=np.ones(demand.shape),
        min_replicas=np.zeros(W),
        max_replicas=np.full(W, 99.0),
        initial=np.broadcast_to(np.asarray(initial, dtype=float), (W,)).copy(),
        lead_s=np.broadcast_to(leads if leads.ndim else leads[None], (W, leads.size)).copy()
        if leads.ndim < 2
        else leads,
        start_s=0.0,
        step_s=60.0,
    )
    return replace(course, **changes)


def engine_leads(fleet: Fleet, seed: int, n_starts: int = 2000) -> np.ndarray:
    """(W, N) what the engine will draw for each pod, crashed first starts included."""
    leads = np.empty((fleet.n_workloads, n_starts))
    for row, owner in enumerate(fleet.workloads):
        spec = deployment_spec(owner, 0)
        for n in range(n_starts):
            pod = EnginePod(spec.key, n, spec.gpu_type, spec.gpus_per_pod, spec.startup, 0.0)
            first_s, second_s = draw_start(seed, pod)
            again_s = 0.0 if second_s is None else spec.startup.restart_s + second_s
            leads[row, n] = first_s + again_s
    return leads


def course_of(fleet: Fleet, initial: Any, leads: np.ndarray) -> Course:
    """The replay of a fleet."""
    seen, n = measured_demand(fleet), fleet.n_history
    demand = fleet.demand[:, n:]
    return Course(
        seen[:, :n],
        demand,
        np.ones(demand.shape, dtype=bool),
        fleet.capacity,
        np.ones(demand.shape),
        np.array([float(w.min_replicas) for w in fleet.workloads]),
        np.array([float(w.max_replicas) for w in fleet.workloads]),
        np.asarray(initial, dtype=float),
        leads,
        float(fleet.replay_start_s),
        float(fleet.step_s),
        seen[:, n:],
    )


@dataclass(frozen=True)
class Scripted:
    """Asks for given counts (G, W, T), whatever it sees; its memory is the step's index."""

    counts: np.ndarray
    name: str = "scripted"

    @property
    def n_settings(self) -> int:
        return self.counts.shape[0]

    def label(self, setting: int) -> str:
        return f"script {setting}"

    def initial_state(self) -> int:
        return 0

    def decide(self, view: Any, state: int) -> tuple[np.ndarray, int]:
        return self.counts[:, :, state].astype(float), state + 1


@dataclass(frozen=True)
class Spy:
    """Passes another policy's answers on and keeps the views."""

    policy: Any
    views: list

    @property
    def name(self) -> str:
        return self.policy.name

    @property
    def n_settings(self) -> int:
        return self.policy.n_settings

    def label(self, setting: int) -> str:
        return self.policy.label(setting)

    def initial_state(self) -> Any:
        return self.policy.initial_state()

    def decide(self, view: Any, state: Any) -> tuple[np.ndarray, Any]:
        self.views.append(view)
        return self.policy.decide(view, state)
