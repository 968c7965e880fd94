"""Counts of a deployment, and what its history says of pods that are ending."""

from __future__ import annotations

from services.simulator.engine.deployment import EngineDeployment
from services.simulator.engine.pod import EnginePod
from services.simulator.engine.timeline import Timeline
from tests.unit.simulator.engine.clusters import FAST, spec


def pod(ordinal: int, node: str | None, ready_s: float | None = None) -> EnginePod:
    return EnginePod("ns/a", ordinal, "H100", 1, FAST, 10.0 * ordinal, node=node, ready_s=ready_s)


def test_those_that_are_ending_hold_gpus_and_are_no_replicas() -> None:
    pods = (pod(0, "n", 5.0), pod(1, "n"), pod(2, None))
    found = EngineDeployment(spec(replicas=3), Timeline(0.0, 100.0), {p.ordinal: p for p in pods})
    found.n_ready, found.n_bound = 1, 2
    found.ending[3] = pod(3, "m", 5.0)
    counts = found.counts(50.0)
    assert (counts.spec, counts.ready, counts.starting, counts.pending) == (3, 1, 1, 1)
    assert (counts.start_ages_s, counts.pending_ages_s) == ((40.0,), (30.0,))
    found.record(0.0)
    (piece,) = found.timeline.intervals(0.0, 10.0)
    assert (piece.ready, piece.bound) == (1, 3)
    assert [p.ordinal for p in found.on_nodes()] == [0, 1, 3]
