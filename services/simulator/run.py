"""Drives the simulated cluster with one policy per workload over the replayed part of a fleet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.simulator.deciders import Boundary, deciders_of
from services.simulator.engine.engine import ClusterEngine
from services.simulator.engine.specs import DeploymentSpec, NodeSpec, StartupSpec
from services.simulator.fleet import Fleet, FleetWorkload
from services.simulator.fleet.arrays import FloatArray
from services.simulator.fleet_course import measured_demand
from services.simulator.ledger import PolicyRun, RunLedger
from services.simulator.policies import OracleGrid, Policy, Solo

ORACLE_LEAD_Z = 2.6
"""The oracle allows for starts up to this many log standard deviations: 99.5 % of them."""


def node_specs(fleet: Fleet) -> list[NodeSpec]:
    """Every node of the fleet's cluster."""
    return [
        NodeSpec(f"{pool.gpu_type.lower()}-{n}", pool.gpu_type, pool.gpus_per_node)
        for pool in fleet.node_pools()
        for n in range(pool.n_nodes)
    ]


def deployment_spec(workload: FleetWorkload, replicas: int) -> DeploymentSpec:
    """The engine's view of a workload."""
    start = workload.startup
    return DeploymentSpec(
        key=workload.key,
        gpu_type=workload.gpu_type,
        gpus_per_pod=workload.gpus_per_replica,
        startup=StartupSpec(
            median_s=start.median_s,
            sigma=start.sigma,
            fail_probability=start.fail_probability,
            restart_s=start.restart_s,
        ),
        replicas=replicas,
    )


def oracles(fleet: Fleet) -> list[Solo[None]]:
    """An oracle for each workload; it allows for nearly the slowest of its starts."""
    return [Solo(OracleGrid(w.startup.quantile_s(ORACLE_LEAD_Z))) for w in fleet.workloads]


@dataclass(frozen=True, slots=True)
class SimulationSetup:
    """Setup that every policy shares: a fair comparison changes nothing but the policy.

    Attributes:
        fleet: Demand and workloads.
        initial: (W,) replicas at the start of the replay.
        seed: Seed of the start-up luck.
        nodes: The cluster; default: the fleet's own pools.
    """

    fleet: Fleet
    initial: FloatArray
    seed: int
    nodes: tuple[NodeSpec, ...] | None = None


def simulate(name: str, policies: Sequence[Policy[Any]], setup: SimulationSetup) -> PolicyRun:
    """Replay the fleet under `policies`.

    Args:
        name: Name of the run.
        policies: One per workload.
        setup: Fleet, starting point and luck.

    Raises:
        ValueError: If the number of policies does not match the fleet.
    """
    fleet = setup.fleet
    if len(policies) != fleet.n_workloads:
        raise ValueError(f"{len(policies)} policies for {fleet.n_workloads} workloads")
    engine = _engine(setup)
    ledger = RunLedger(fleet, name, setup.initial)
    deciders = deciders_of(policies, fleet)
    seen, keys = measured_demand(fleet), [owner.key for owner in fleet.workloads]
    for step in range(fleet.n_history, fleet.n_steps):
        now_s = float(fleet.start_s + step * fleet.step_s)
        counts = [engine.counts(key) for key in keys]
        answers = deciders.decide(
            Boundary(
                step,
                seen[:, :step],
                [each.ready for each in counts],
                [each.starting for each in counts],
                [each.pending for each in counts],
                [each.spec for each in counts],
            )
        )
        asked = dict(zip(keys, answers, strict=True))
        _apply(engine, asked)
        engine.advance(now_s + fleet.step_s)
        for i, (key, wanted) in enumerate(asked.items()):
            intervals = engine.timeline(key, now_s, now_s + fleet.step_s)
            ledger.record(i, step - fleet.n_history, wanted, intervals)
    return ledger.run()


def _engine(setup: SimulationSetup) -> ClusterEngine:
    fleet = setup.fleet
    nodes = node_specs(fleet) if setup.nodes is None else list(setup.nodes)
    engine = ClusterEngine(nodes, seed=setup.seed, now_s=float(fleet.replay_start_s))
    for workload, replicas in zip(fleet.workloads, setup.initial, strict=True):
        engine.add_deployment(deployment_spec(workload, int(replicas)))
    return engine


def _apply(engine: ClusterEngine, asked: Mapping[str, int]) -> None:
    """Scale down first, so that freed GPUs can be taken within the same step boundary."""
    current = {key: engine.spec(key).replicas for key in asked}
    for key in sorted(asked, key=lambda one: asked[one] > current[one]):
        if asked[key] != current[key]:
            engine.scale(key, asked[key])


def needed_gpus(fleet: Fleet) -> FloatArray:
    """(R,) GPUs that the replayed demand needs in each step, whole replicas, no lead time."""
    needed = fleet.needed_replicas()[:, fleet.n_history :]
    total: FloatArray = np.nansum(needed * fleet.gpus_per_replica[:, None], axis=0)
    return total
