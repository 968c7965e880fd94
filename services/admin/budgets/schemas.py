"""GPU budgets, as the API returns them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from services.admin.rest.schemas import Out


class GivenUpView(Out):
    """What a budget took from one workload at its newest decision."""

    decision_id: int
    decided_at: datetime
    namespace: str
    workload: str
    sla_class: str = Field(examples=["silver"])
    priority: int = Field(description="How much a loss counts, in proportion", examples=[100])
    wanted_replicas: int = Field(description="Decided but for the budget", examples=[17])
    granted_replicas: int = Field(examples=[13])
    gpus: int = Field(description="GPUs given up", examples=[4])
    reason: str = Field(examples=["scale_up_risk"])
    price_usd_per_gpu_hour: float | None = Field(
        description="Shadow price among the workloads decided on with it"
    )


class HeadroomView(Out):
    """GPUs that should be ready for what services may need while a node starts."""

    gpus: int = Field(description="To have ready, those that are free among them", examples=[16])
    free_gpus: int = Field(description="Free when it was advised", examples=[4])
    chunk_gpus: int = Field(description="GPUs by which they are held", examples=[1])
    need_gpus: int = Field(
        description="What services may need beyond what they hold, exceeded with the risk",
        examples=[9],
    )
    is_capped: bool = Field(description="The ceiling or the budget allows less than the need")
    usd_per_hour: float = Field(description="What it costs while it is held", examples=[40.0])
    risk: float = Field(
        description="Chance of a need beyond it that was asked for, or that costs least"
    )
    risk_before: float = Field(
        description="Chance of a need, within a node's start-up, that nothing is free for",
        examples=[0.213],
    )
    risk_after: float = Field(description="The same while it is held", examples=[0.007])
    dependence: float = Field(
        description="Correlation of the services' demands within their forecasts"
    )
    n_dependence_steps: int = Field(description="Steps that it was learned from")
    n_workloads: int = Field(description="Services whose needs are in it")
    n_unknown: int = Field(description="Services of which it is not known what they may need")
    beyond_ratio: float = Field(
        description="Share of the nodes that come later than forecasts reach"
    )
    advised_at: datetime
    is_stale: bool = Field(description="Not advised for too long to rely upon")


class SupplyView(Out):
    """Where the GPUs of a type come from, as the operator saw it."""

    mode: Literal["fixed", "provisioned"]
    ceiling: int | None = Field(
        description="GPUs that all pods of the type may ask for; null: the supply is fixed",
        examples=[96],
    )
    node_gpus: int = Field(description="GPUs that nodes have", examples=[32])
    asked_gpus: int = Field(description="GPUs that all pods ask for", examples=[40])
    reason: str = Field(examples=["Detected"])
    message: str = Field(description="What mode and ceiling follow from, and what would change it")
    node_startup_s: float = Field(
        description="Median from a pod's request to its place on a new node", examples=[240.0]
    )
    n_startups: int = Field(description="Starts that it was learned from")
    refusal: str = Field(description="Why the last nodes did not come; empty: they did")
    retry_at: datetime | None = Field(
        description="After a refusal: when one increase may try again; null: there was none"
    )
    headroom: HeadroomView | None = Field(
        description="null: the supply is fixed, headroom is off, or nothing is advised yet"
    )


class BudgetView(Out):
    """A GPU budget: what is allowed, used, and given up."""

    cluster: str = Field(description="Whose workloads share it", examples=["default"])
    gpu_type: str = Field(
        description="`*`: every type without a budget of its own, while budgets cannot be listed",
        examples=["H100"],
    )
    gpus: int | None = Field(
        description="GPUs that all workloads of the type may use together; null: cannot be read, "
        "nothing is added",
        examples=[64],
    )
    cell_gpus: int | None = Field(
        description="Of a total over the cells, what this one may hold now; null: there is none",
        examples=[None],
    )
    source: str = Field(description="Objects that it comes from", examples=["GPUBudget/hopper"])
    reason: str = Field(description="Why it cannot be read; empty when it can")
    observed_at: datetime = Field(description="When it was last confirmed")
    is_stale: bool = Field(description="Not confirmed for too long: nothing is added")
    n_workloads: int
    n_unmeasured: int = Field(description="Workloads of which no replicas have been seen yet")
    used_gpus: int | None = Field(
        description="GPUs that the targets ask for; null: not known of all workloads"
    )
    free_gpus: int | None = Field(
        description="Of the less of both; below 0: exceeded; null: not known"
    )
    price_usd_per_gpu_hour: float | None = Field(
        description="Shadow price over the whole fleet at the newest decision: losses averted by "
        "one more GPU; 0: the budget is not scarce; null: there is none"
    )
    is_feasible: bool | None = Field(
        description="False: minimum replicas alone exceed the budget; null: not known"
    )
    decided_at: datetime | None = Field(description="Time of the newest decision that is valid")
    n_cut: int = Field(description="Workloads whose newest decision it cut")
    supply: SupplyView | None = Field(
        description="null: none is stated and none is looked for; then it is fixed"
    )
    gave_up: list[GivenUpView] = Field(description="Those that gave up most, most GPUs first")
