"""Decisions, actions and outcomes, as the API returns them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from services.admin.rest.schemas import Out
from services.kernel.domain.workload import RiskKind

Direction = Literal["up", "down", "hold"]
ActionResult = Literal[
    "applied",
    "unchanged",
    "delegated",
    "advisory",
    "awaiting_approval",
    "rejected",
    "paused",
    "superseded",
    "expired",
    "conflict",
    "failed",
    "waiting",
    "unknown",
    "target_missing",
]
"""What the operator writes into `actions.result`."""


class VariantView(Out):
    """A decision about one of several targets: a variant, or a pool."""

    name: str = Field(examples=["l4"])
    gpu_type: str = Field(examples=["L4"])
    current: int = Field(description="Replicas before", examples=[0])
    desired: int = Field(description="Replicas decided", examples=[6])


class DecisionSummary(Out):
    """A decision: intent, with its reason and what became of it."""

    id: int
    namespace: str
    cluster: str = Field(examples=["default"])
    workload: str
    origin_at: datetime
    decided_at: datetime
    current_replicas: int
    raw_replicas: int = Field(description="Wanted before the guards")
    desired_replicas: int = Field(description="Decided")
    direction: Direction
    reason: str = Field(examples=["scale_up_risk"])
    binding_constraint: str | None = None
    rung: str = Field(description="Rung of the ladder that answered", examples=["model"])
    risk_target: float = Field(
        description="At most this share out of SLA; of a promise about windows what it comes to of "
        "each step"
    )
    risk_estimated: float | None = Field(description="Share of the same that is expected to be")
    cost_delta_usd_per_h: float
    variants: list[VariantView] | None = Field(
        None,
        description="Counts by variant or pool; null for a workload of one target. With variants "
        "all other counts are reference replicas, in units of the workload's stated capacity; with "
        "pools they are sums",
    )
    action_result: str | None = Field(None, examples=["applied"])
    action_reason: str | None = None
    applied_at: datetime | None = None

    @property
    def is_change(self) -> bool:
        """True where another count is decided, of the whole or of any variant or pool."""
        is_moved = any(part.current != part.desired for part in self.variants or ())
        return is_moved or self.current_replicas != self.desired_replicas

    @property
    def wanted(self) -> str:
        """What is decided, in words: `10 replicas`, or `3 of prefill and 9 of decode`."""
        if not self.variants:
            return f"{self.desired_replicas} replicas"
        return " and ".join(f"{part.desired} of {part.name}" for part in self.variants)


class ExpectedShare(Out):
    """What one count of replicas is expected to miss."""

    replicas: int = Field(examples=[20])
    share: float = Field(description="Of 0 to 1", examples=[0.031])


class ExpectedMissesView(Out):
    """What some counts are expected to miss at the step that a decision is made for."""

    of: Literal["requests", "minutes"] = Field(
        description="Unit of the promise: requests that miss a goal, or minutes that are bad",
        examples=["requests"],
    )
    by_replicas: list[ExpectedShare] = Field(
        description="In ascending order of counts, without what no number of replicas cures"
    )
    floor: float | None = Field(
        None,
        description="Share of the requests that is expected to miss beside these, whatever the "
        "count; null: not told",
        examples=[0.008],
    )


class DecisionDetail(DecisionSummary):
    """A decision with everything that led to it and came of it."""

    risk_kind: RiskKind | None = Field(
        None,
        description="Kind of the promise: what `risk_target` and `risk_estimated` are shares of. "
        "Null: its workload has been changed since",
        examples=["TimeFraction"],
    )
    forecast_id: int
    policy_version: str
    valid_until: datetime
    model_version: str | None
    forecast_rung: str | None
    forecast_reason: str | None
    demand_unit: str = Field("", examples=["tokens/s"])
    capacity_per_replica: float | None = Field(
        None,
        description="Demand that one replica was believed to carry within the promise, the median "
        "of what was learned, else as stated; null: it has several targets or several loads",
        examples=[5800.0],
    )
    capacity_source: Literal["learned", "group", "stated"] | None = Field(
        None,
        description="`group`: by what other services like it were measured to carry, since none of "
        "its own requests was yet; null where the load is",
    )
    explanation: dict[str, Any] = Field(
        description="Guard trace, quantiles used, counterfactuals, risk before and after; under a "
        "GPU budget `gpu_budget`: who gave up what; where nodes are added `headroom`: what is to "
        "be held ready meanwhile; of `pools` each one's counts"
    )
    expected_misses: ExpectedMissesView | None = Field(
        None,
        description="Null: what load does to the requests has not been learned, or there was no "
        "forecast",
    )
    bound_by: dict[str, float] | None = Field(
        None,
        description="Share of what is expected to be missed that falls to each load, by indicator; "
        "null: the demand alone binds the workload, or there was no forecast of the others",
        examples=[{"request_rate_rps": 0.18, "output_tokens_per_s": 0.82}],
    )
    replay_message: str | None = Field(
        None,
        description="Why it cannot be made again: what it was made from is not kept as long as it "
        "is; null: it can",
    )
    actions: list[ActionView]
    killed_pods: list[KilledPodView] = Field(
        [],
        description="Pods that were killed at the end of their grace after it scaled in: the "
        "requests that they still had were cut off. At most 50",
    )
    outcomes: list[OutcomeView] = Field(description="Steps that passed under it")


class ActionPart(Out):
    """What an action made of one variant or pool."""

    name: str = Field(description="Empty: the workload has one target", examples=["decode"])
    from_replicas: int = Field(examples=[2])
    to_replicas: int = Field(examples=[4])
    is_sure: bool = Field(description="False: another hand may have set what was found")


class ActionView(Out):
    """An attempt to apply a decision."""

    id: int
    decision_id: int
    namespace: str
    cluster: str = Field(examples=["default"])
    workload: str
    origin_at: datetime
    attempt: int
    from_replicas: int | None
    to_replicas: int | None
    result: str = Field(examples=["applied"])
    reason: str
    applied_at: datetime
    parts: list[ActionPart] | None = Field(
        None,
        description="What was made of each variant or pool, those left out being as they were; "
        "also of one target where that is not sure. Null: as the counts of the whole say",
    )


class KilledPodView(Out):
    """A pod that had not ended when its grace was over."""

    pod: str = Field(examples=["llama-7d9c6b5f4-x2x9k"])
    told_at: datetime = Field(description="When it was told to end")
    killed_at: datetime
    grace_s: float = Field(description="Seconds from the one to the other", examples=[30.0])
    requests: float | None = Field(
        None,
        description="Requests that it had when they were read last; null: they were not read "
        "after it was told to end",
        examples=[3.0],
    )


class OutcomeView(Out):
    """What happened in one step. Null: not measured.

    The measured columns are revised while late observations may come, until `is_final`.
    """

    namespace: str
    cluster: str = Field(examples=["default"])
    workload: str
    step_at: datetime
    decision_id: int | None
    demand: float | None
    ready_mean: float | None
    needed_replicas: int | None
    violation_ratio: float | None = Field(
        description="Share of the step out of SLA: as measured, or where it is not, as believed"
    )
    measured_ratio: float | None = Field(description="As requests felt it; null: not measured")
    believed_ratio: float | None = Field(description="By the capacity that is believed")
    sli_requests: float | None = Field(description="Requests of the step")
    sli_miss_low: float | None = Field(
        description="At least this share of them missed a goal", examples=[0.009]
    )
    sli_miss_high: float | None = Field(
        description="The share that counts: at most this share of them did; between two bucket "
        "edges an estimate",
        examples=[0.012],
    )
    is_final: bool = Field(description="False: what is measured may still change")
    shortage: float | None
    gpu_hours: float | None
    cost_usd: float | None


DecisionDetail.model_rebuild()
