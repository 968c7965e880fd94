"""Rival scaling policies behind one signature, each written from its description."""

from decider.policies.hpa import Hpa, HpaConfig
from decider.policies.oracle import Oracle
from decider.policies.static_peak import StaticPeak
from decider.policies.trailing_percentile import TrailingPercentile
from decider.policies.view import Policy, PolicyView

__all__ = [
    "Hpa",
    "HpaConfig",
    "Oracle",
    "Policy",
    "PolicyView",
    "StaticPeak",
    "TrailingPercentile",
]
