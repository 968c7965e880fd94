"""The decision stage: predictive distributions in, GPU counts with reasons out.

A pure core: arrays and frozen values in, decisions out; no clock, no I/O, no randomness. The
formulation is Harmony's own; the published HARMONY paper gives no algorithm for this stage.
"""

from decider.config import DecideConfig, FallbackConfig, RiskControlConfig
from decider.decide import decide_shard
from decider.result import Decision, Direction, GuardStep, Reason
from decider.types import (
    Control,
    Hardware,
    History,
    Limits,
    RatePolicy,
    ReplicaState,
    RiskState,
    ScalingRules,
    ShardRequest,
    Sla,
    TrailingRule,
    WorkloadInput,
)
from decider.variant_types import MixRecord, VariantSet, VariantState

__all__ = [
    "Control",
    "DecideConfig",
    "Decision",
    "Direction",
    "FallbackConfig",
    "GuardStep",
    "Hardware",
    "History",
    "Limits",
    "MixRecord",
    "RatePolicy",
    "Reason",
    "ReplicaState",
    "RiskControlConfig",
    "RiskState",
    "ScalingRules",
    "ShardRequest",
    "Sla",
    "TrailingRule",
    "VariantSet",
    "VariantState",
    "WorkloadInput",
    "decide_shard",
]
