"""The decision stage: predictive distributions in, GPU counts with reasons out.

A pure core: arrays and frozen values in, decisions out; no clock, no I/O, no randomness. The
formulation is Harmony's own; the published HARMONY paper gives no algorithm for this stage.

Shells import from here only. What samples posteriors needs PyMC, which takes seconds to load: those
names are loaded when first asked for (PEP 562).
"""

from importlib import import_module
from typing import TYPE_CHECKING

from decider.belief.capacity import capacity_draws
from decider.belief.capacity_update import latency_log_likelihood, update_capacity
from decider.belief.interruptions import InterruptionBelief, learn_interruptions
from decider.belief.lead_time import (
    LeadTimeBelief,
    draws_of_either,
    predictive_draws,
    stuck_age_s,
    update_belief,
)
from decider.belief.miss_learning import learn_misses
from decider.belief.miss_model import MissData, MissPosterior
from decider.belief.miss_prior import GroupLaw, MissPrior, worth_in_force
from decider.belief.miss_steps import behind_a_queue, queue_steps, steps_across_loads
from decider.belief.miss_update import MissUpdate, miss_log_likelihood, update_misses
from decider.belief.misses import equivalent_capacity
from decider.belief.occupancy import (
    ROOM,
    TIME,
    FullUse,
    OccupancyLaw,
    full_use,
    restated_capacity,
    use_log_likelihood,
)
from decider.belief.places import placed_share
from decider.belief.response_model import (
    CurveDraws,
    ResponseData,
    ResponsePosterior,
    relative_capacity_new,
)
from decider.belief.start_causes import (
    LONG,
    SHORT,
    UNKNOWN,
    ObservedStarts,
    cause_shares,
    learn_causes,
    mixed_draws,
)
from decider.between_edges import EdgeCounts, EdgeGap, met_between
from decider.budget.cells import BudgetCell, exchange, first_parts
from decider.budget.dependence import forecast_score, learn_dependence
from decider.budget.fleet import PRICES
from decider.budget.headroom import (
    PEAK_LEVELS,
    USES,
    USUAL_RISK,
    HeadroomRoom,
    JointNeed,
    NodeWait,
    ServiceNeed,
    joint_need,
    peak_replicas,
    size_headroom,
)
from decider.budget.peers import PeerAmount, PeerLedger, PeerParts, give_to_peer, take_from_peer
from decider.config import DecideConfig, FallbackConfig, RiskControlConfig, TrailingRule
from decider.decide import GrantedShard, KnownBudgets, decide_shard, grant_shard, plan_shard
from decider.errors import InvalidRequest, ReplayMismatch
from decider.explain import decision_summary, decision_to_dict, misses_to_dict
from decider.fleet_types import Elsewhere
from decider.miss_draws import MissDraws
from decider.planning.guards import LEARNING_STEPS
from decider.planning.ledgers import (
    ErrorBudget,
    LedgerSpan,
    count_believed,
    count_measured,
    error_budget,
    forget_believed,
    forget_measured,
    promise_of_steps,
    weight_of_step,
    window_steps,
)
from decider.planning.risk import after_decision, teach_level, update_risk
from decider.pool_types import PoolPlace, pool_response
from decider.recording import PlannedShard
from decider.result import (
    Decision,
    Direction,
    ExpectedMisses,
    GuardStep,
    PoolCount,
    PoolRecord,
    Reason,
)
from decider.score import ReplicaInterval, StepOutcome, StepPrice, score_step
from decider.sli import (
    MINUTE_S,
    SliCounts,
    SliSteps,
    contradictions,
    count_misses,
    promised_violation,
)
from decider.step_quantiles import StepQuantiles
from decider.stored.inputs import ForecastArrays, inputs_to_bytes
from decider.stored.replay import (
    ForecastNeed,
    decision_bytes,
    forecast_of,
    replay_decision,
    replay_service,
)
from decider.tables.reach import reach_steps
from decider.tables.soft_response import Soft, soft_of, soft_responses
from decider.trust.arms import trailing_grid
from decider.trust.gate import TrustConfig, TrustState, TrustVerdict, judge_model
from decider.trust.score import TrustCase
from decider.types import (
    Control,
    DirectionRules,
    FloatArray,
    Hardware,
    History,
    IntArray,
    Limits,
    RatePolicy,
    ReplicaState,
    RiskState,
    ShardRequest,
    Sla,
    SpotReplicas,
    WorkloadInput,
)
from decider.use import MAX_FURTHER, equivalent_demand
from decider.variant_types import MixRecord, SpotShare, VariantSet, VariantState, whole

if TYPE_CHECKING:
    from decider.belief.model import StartData
    from decider.belief.posterior import (
        MISS_SAMPLER,
        RESPONSE_SAMPLER,
        Diagnostics,
        MissFits,
        SamplerConfig,
        fit_lead_time,
        fit_misses,
        fit_response,
    )

_LAZY = {
    "StartData": "decider.belief.model",
    "MISS_SAMPLER": "decider.belief.posterior",
    "RESPONSE_SAMPLER": "decider.belief.posterior",
    "Diagnostics": "decider.belief.posterior",
    "MissFits": "decider.belief.posterior",
    "SamplerConfig": "decider.belief.posterior",
    "fit_lead_time": "decider.belief.posterior",
    "fit_misses": "decider.belief.posterior",
    "fit_response": "decider.belief.posterior",
}
"""Module of each name that is loaded when first asked for."""

__all__ = [
    "LEARNING_STEPS",
    "LONG",
    "MAX_FURTHER",
    "MINUTE_S",
    "MISS_SAMPLER",
    "PEAK_LEVELS",
    "PRICES",
    "RESPONSE_SAMPLER",
    "ROOM",
    "SHORT",
    "TIME",
    "UNKNOWN",
    "USES",
    "USUAL_RISK",
    "BudgetCell",
    "Control",
    "CurveDraws",
    "DecideConfig",
    "Decision",
    "Diagnostics",
    "Direction",
    "DirectionRules",
    "EdgeCounts",
    "EdgeGap",
    "Elsewhere",
    "ErrorBudget",
    "ExpectedMisses",
    "FallbackConfig",
    "FloatArray",
    "ForecastArrays",
    "ForecastNeed",
    "FullUse",
    "GrantedShard",
    "GroupLaw",
    "GuardStep",
    "Hardware",
    "HeadroomRoom",
    "History",
    "IntArray",
    "InterruptionBelief",
    "InvalidRequest",
    "JointNeed",
    "KnownBudgets",
    "LeadTimeBelief",
    "LedgerSpan",
    "Limits",
    "MissData",
    "MissDraws",
    "MissFits",
    "MissPosterior",
    "MissPrior",
    "MissUpdate",
    "MixRecord",
    "NodeWait",
    "ObservedStarts",
    "OccupancyLaw",
    "PeerAmount",
    "PeerLedger",
    "PeerParts",
    "PlannedShard",
    "PoolCount",
    "PoolPlace",
    "PoolRecord",
    "RatePolicy",
    "Reason",
    "ReplayMismatch",
    "ReplicaInterval",
    "ReplicaState",
    "ResponseData",
    "ResponsePosterior",
    "RiskControlConfig",
    "RiskState",
    "SamplerConfig",
    "ServiceNeed",
    "ShardRequest",
    "Sla",
    "SliCounts",
    "SliSteps",
    "Soft",
    "SpotReplicas",
    "SpotShare",
    "StartData",
    "StepOutcome",
    "StepPrice",
    "StepQuantiles",
    "TrailingRule",
    "TrustCase",
    "TrustConfig",
    "TrustState",
    "TrustVerdict",
    "VariantSet",
    "VariantState",
    "WorkloadInput",
    "after_decision",
    "behind_a_queue",
    "capacity_draws",
    "cause_shares",
    "contradictions",
    "count_believed",
    "count_measured",
    "count_misses",
    "decide_shard",
    "decision_bytes",
    "decision_summary",
    "decision_to_dict",
    "draws_of_either",
    "equivalent_capacity",
    "equivalent_demand",
    "error_budget",
    "exchange",
    "first_parts",
    "fit_lead_time",
    "fit_misses",
    "fit_response",
    "forecast_of",
    "forecast_score",
    "forget_believed",
    "forget_measured",
    "full_use",
    "give_to_peer",
    "grant_shard",
    "inputs_to_bytes",
    "joint_need",
    "judge_model",
    "latency_log_likelihood",
    "learn_causes",
    "learn_dependence",
    "learn_interruptions",
    "learn_misses",
    "met_between",
    "miss_log_likelihood",
    "misses_to_dict",
    "mixed_draws",
    "peak_replicas",
    "placed_share",
    "plan_shard",
    "pool_response",
    "predictive_draws",
    "promise_of_steps",
    "promised_violation",
    "queue_steps",
    "reach_steps",
    "relative_capacity_new",
    "replay_decision",
    "replay_service",
    "restated_capacity",
    "score_step",
    "size_headroom",
    "soft_of",
    "soft_responses",
    "steps_across_loads",
    "stuck_age_s",
    "take_from_peer",
    "teach_level",
    "trailing_grid",
    "update_belief",
    "update_capacity",
    "update_misses",
    "update_risk",
    "use_log_likelihood",
    "weight_of_step",
    "whole",
    "window_steps",
    "worth_in_force",
]


def __getattr__(name: str) -> object:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
