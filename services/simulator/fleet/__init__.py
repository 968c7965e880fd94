"""Fleets of GPU services: generated from a seed, or loaded from a trace."""

from services.simulator.fleet.fleet import (
    Fleet,
    FleetWorkload,
    NodePool,
    StartupProfile,
    WorkloadKind,
)
from services.simulator.fleet.generate import FleetOptions, generate_fleet
from services.simulator.fleet.split import ScaledFleet, unsplit, with_pools
from services.simulator.fleet.trace import (
    DroppedWorkload,
    LoadedTrace,
    TraceError,
    TraceOptions,
    load_trace,
)

__all__ = [
    "DroppedWorkload",
    "Fleet",
    "FleetOptions",
    "FleetWorkload",
    "LoadedTrace",
    "NodePool",
    "ScaledFleet",
    "StartupProfile",
    "TraceError",
    "TraceOptions",
    "WorkloadKind",
    "generate_fleet",
    "load_trace",
    "unsplit",
    "with_pools",
]
