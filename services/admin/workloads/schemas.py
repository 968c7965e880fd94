"""Workloads with their live state, as the API returns them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from services.admin.decisions.schemas import Direction
from services.admin.rest.schemas import Out
from services.kernel.domain import SliStatus, ViolationSource
from services.kernel.domain.workload import LoadCounts


class ReplicaView(Out):
    """Replicas at the newest snapshot of the cluster."""

    observed_at: datetime
    spec: int = Field(description="Count in the target's spec", examples=[8])
    ready: int = Field(examples=[7])
    starting: int = Field(description="On a node, not ready yet", examples=[1])
    pending: int = Field(description="Without a node", examples=[0])
    schedulable_gpus: int | None = None


class RiskView(Out):
    """The promise beside what was estimated, measured and believed. Shares of 0 to 1.

    Measured is what requests felt; believed is what the capacity that Harmony believes a replica
    has would have let them feel.
    """

    kind: str = Field(examples=["TimeFraction"])
    target: float = Field(
        description="At most this share out of SLA; of a promise about windows (`AnyInWindow`) "
        "what it comes to of each step",
        examples=[0.01],
    )
    estimated: float | None = Field(None, description="By the newest decision", examples=[0.004])
    source: ViolationSource | None = Field(
        None,
        description="What `violation_ratio`, `budget_remaining` and `n_steps` come from: measured "
        "where the objective is, else believed; null: no step was looked at yet",
    )
    violation_ratio: float | None = Field(
        None,
        description="Over `window_s`, by `source`: measured, a share of what `kind` says; "
        "believed, a share of time",
    )
    measured_ratio: float | None = Field(
        None,
        description="As requests felt it, over `window_s`; estimated where the threshold lies "
        "between two bucket edges; null: not measured",
    )
    measured_low_ratio: float | None = Field(
        None,
        description="The least that `measured_ratio` can be (of a threshold between bucket edges, "
        "or several goals, only a range is known); null: it is no less, or the range is not known "
        "of the whole window",
        examples=[0.001],
    )
    measured_high_ratio: float | None = Field(
        None,
        description="The most that it can be, where `measured_ratio` is an estimate; null: it is "
        "no more, or the range is not known of the whole window",
        examples=[0.4],
    )
    believed_ratio: float | None = Field(
        None,
        description="Share of the time in which demand was beyond the capacity that is believed, "
        "over `window_s`, whatever `kind` is",
    )
    window_s: float = Field(description="The promise's window; older steps fade", examples=[604800])
    n_steps: int = Field(examples=[2016])
    budget_remaining: float | None = Field(
        None, description="Share of the SLA window's error budget that is left; below 0: overspent"
    )
    budget_remaining_high: float | None = Field(
        None, description="The same by `measured_low_ratio`; null where that is"
    )
    budget_remaining_low: float | None = Field(
        None, description="The same by `measured_high_ratio`; null where that is"
    )
    sli_status: SliStatus | None = Field(
        None, description="Whether the objective is measured; else why it is not"
    )
    sli_message: str = Field("", description="What to do so that it is measured")
    demand_censored_message: str | None = Field(
        None,
        description="Why the demand seen may be less than what arrives; empty: it is not; null: "
        "not known",
    )
    goal_unreachable_message: str = Field(
        "", description="Why no number of replicas keeps the promise; empty: nothing says so"
    )
    not_capacity_message: str | None = Field(
        None,
        description="Why more requests missed in the last hour than their load explains, and what "
        "to look at; empty: they did not; null: not known",
    )


class LastDecision(Out):
    """The newest decision of a workload, in short."""

    id: int
    origin_at: datetime
    decided_at: datetime
    valid_until: datetime
    desired_replicas: int
    direction: Direction
    reason: str
    binding_constraint: str | None
    rung: str = Field(description="Rung of the decision's ladder", examples=["forecast"])
    forecast_rung: str | None = Field(description="Rung of the forecast's", examples=["model"])
    forecast_reason: str | None
    model_version: str | None
    action_result: str | None
    action_reason: str | None


class TrustView(Out):
    """Whether the workload's model has earned its place, by the newest look."""

    is_trusted: bool = Field(description="False: a trailing percentile answers instead")
    reason: str = Field(description="Both costs and both rates, in words")
    n_looks: int = Field(examples=[12])
    decided_at: datetime


class FurtherLoadView(Out):
    """A load besides the demand that binds a replica."""

    indicator: str = Field(examples=["offered_kv_tokens"])
    unit: str = Field(examples=["tokens"])
    per_replica: float = Field(
        description="Most of it that one replica carries while nothing else binds",
        examples=[90000.0],
    )
    counts: LoadCounts = Field(description="Load as it arrives, or as it was served")


class PartView(Out):
    """A variant or pool of a workload: what it is, what runs of it and what was decided."""

    name: str = Field(examples=["decode"])
    gpu_type: str = Field(examples=["L4"])
    gpus_per_replica: int
    price_usd_per_gpu_hour: float
    replicas: int | None = Field(
        None, description="In its target's spec, by the newest snapshot; null: not seen"
    )
    desired_replicas: int | None = Field(
        None, description="Of the newest decision; null: that did not know it"
    )


class WorkloadView(Out):
    """A workload with its live state."""

    namespace: str = Field(examples=["prod"])
    cluster: str = Field(examples=["default"])
    name: str = Field(examples=["llama-70b"])
    mode: str = Field(examples=["Auto"])
    is_active: bool
    is_paused: bool
    gpu_type: str = Field(examples=["H100"])
    gpus_per_replica: int
    min_replicas: int
    max_replicas: int
    price_usd_per_gpu_hour: float
    step_s: int
    demand_indicator: str = Field(examples=["output_tokens_per_s"])
    demand_unit: str
    demand: float | None = Field(None, description="Newest observed; null: none within a day")
    demand_at: datetime | None = None
    capacity_per_replica: float
    further_loads: list[FurtherLoadView] = Field([], description="Loads besides the demand")
    replicas: ReplicaView | None = Field(None, description="Null: no snapshot yet")
    parts: list[PartView] = Field(
        [],
        description="Its variants or pools; empty: it has one target. With them `gpu_type`, "
        "`gpus_per_replica` and the price are those of the first one",
    )
    held_gpus: dict[str, int] | None = Field(
        None,
        description="GPUs of replicas that are ready or start, by type, of variants and pools each "
        "its own; null: not known",
        examples=[{"H100": 32}],
    )
    risk: RiskView
    last_decision: LastDecision | None = None
    trust: TrustView | None = Field(None, description="Null: no look at the model yet")
    gpu_hours: float | None = Field(None, description="Over `cost_window_s`")
    cost_usd: float | None = Field(None, description="Over `cost_window_s`")
    cost_window_s: float = 86400.0
    spec_version: int
    managed_by: Literal["kubernetes", "api"] = Field(
        description="`kubernetes`: it follows its GPUAutoscaler; `api`: it was made over REST"
    )
    object_uid: str | None = Field(
        None,
        description="Uid of the GPUAutoscaler that it follows; null: there is none, or unknown",
    )

    @property
    def may_be_held(self) -> bool:
        """An operator lays pauses, policies and schedules over it: its GPUAutoscaler is there."""
        return self.is_active and self.managed_by == "kubernetes"


class SpentHour(Out):
    """What a fleet used in one hour."""

    hour_at: datetime
    gpu_hours: float
    gpus: float = Field(description="Held on average while that was known")
    cost_usd: float
    held_usd: float = Field(
        description="Cost had each workload been held at its largest hour's size all the time, "
        "each hour at its own prices"
    )
