"""SLA classes, as the API returns them."""

from __future__ import annotations

from pydantic import Field

from services.admin.rest.schemas import Out


class SlaClassView(Out):
    """An SLA class as the workloads carry it."""

    name: str = Field(examples=["gold"])
    priority: int = Field(description="How much a loss counts, in proportion", examples=[200])
    n_workloads: int = Field(description="Active ones", examples=[12])
    epsilon_min: float = Field(description="Strictest promise among them", examples=[0.01])
    epsilon_max: float = Field(examples=[0.01])
    kinds: list[str] = Field(examples=[["TimeFraction"]])
    violation_ratio: float | None = Field(
        description="Over `window_s`, mean over the time of the workloads' steps, whatever their "
        "length: as measured at workloads that are, at the others as believed; null: no step yet",
        examples=[0.004],
    )
    measured_ratio: float | None = Field(
        description="Of the workloads that are measured, as requests felt it; null: none is",
        examples=[0.006],
    )
    believed_ratio: float | None = Field(
        description="Of all of them, by the capacity that is believed", examples=[0.002]
    )
    n_measured: int = Field(description="Workloads that are measured", examples=[6])
    window_s: float = Field(examples=[86400])
    n_steps: int = Field(description="Steps in `violation_ratio`", examples=[17280])
    n_measured_steps: int = Field(description="Those of them that were measured", examples=[8640])
    n_over_promise: int = Field(
        description="Workloads out of SLA for more than they promise: as measured, or where "
        "nothing is, believed; of a promise about windows (`AnyInWindow`) for more than it comes "
        "to of each step",
        examples=[0],
    )
    gpu_hours: float | None = Field(
        description="With those of workloads that left within `window_s`", examples=[812.5]
    )
    cost_usd: float | None = Field(
        description="With that of workloads that left within `window_s`", examples=[2031.25]
    )
