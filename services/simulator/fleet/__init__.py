"""Fleets of GPU services: generated from a seed, or loaded from a trace."""

from services.simulator.fleet.fleet import (
    Fleet,
    FleetWorkload,
    NodePool,
    StartupProfile,
    WorkloadKind,
)
from services.simulator.fleet.generate import FleetOptions, generate_fleet
from services.simulator.fleet.replay_span import DroppedWorkload
from services.simulator.fleet.split import ScaledFleet, unsplit, with_pools
from services.simulator.fleet.trace import (
    LoadedTrace,
    TraceOptions,
    fleet_of,
    whole_fleet_of,
)
from services.simulator.fleet.trace_metadata import TraceError

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
    "fleet_of",
    "generate_fleet",
    "unsplit",
    "whole_fleet_of",
    "with_pools",
]
