"""Rival scaling policies behind one signature, each written from its description."""

from decider.policies.grid import Solo
from decider.policies.hpa import Hpa, HpaConfig
from decider.policies.oracle import OracleGrid
from decider.policies.static_peak import StaticGrid
from decider.policies.trailing_percentile import TrailingPercentileGrid
from decider.policies.view import Policy, PolicyView

__all__ = [
    "Hpa",
    "HpaConfig",
    "OracleGrid",
    "Policy",
    "PolicyView",
    "Solo",
    "StaticGrid",
    "TrailingPercentileGrid",
]
