"""Rivals: rules of other autoscalers behind one signature, each written from its description."""

from services.simulator.policies.grid import Solo
from services.simulator.policies.oracle import OracleGrid
from services.simulator.policies.reactive.hpa import Hpa, HpaConfig
from services.simulator.policies.static_peak import StaticGrid
from services.simulator.policies.trailing_percentile import TrailingPercentileGrid
from services.simulator.policies.view import Policy, PolicyInput

__all__ = [
    "Hpa",
    "HpaConfig",
    "OracleGrid",
    "Policy",
    "PolicyInput",
    "Solo",
    "StaticGrid",
    "TrailingPercentileGrid",
]
