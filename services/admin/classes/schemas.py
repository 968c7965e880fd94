"""SLA classes, as the API returns them."""

from __future__ import annotations

from pydantic import Field

from services.admin.rest.schemas import Out


class SlaClassView(Out):
    """An SLA class as the workloads carry it."""

    name: str = Field(examples=["gold"])
    priority: int = Field(description="How much a loss counts, in proportion", examples=[200])
    n_workloads: int = Field(examples=[12])
    epsilon_min: float = Field(description="Strictest promise among them", examples=[0.01])
    epsilon_max: float = Field(examples=[0.01])
    kinds: list[str] = Field(examples=[["TimeFraction"]])
    violation_ratio: float | None = Field(
        description="Measured over `measured_window_s`, mean over steps; null: not measured",
        examples=[0.004],
    )
    measured_window_s: float = Field(examples=[86400])
    n_measured_steps: int = Field(examples=[17280])
    n_over_promise: int = Field(
        description="Workloads out of SLA for more than they promise", examples=[0]
    )
    gpu_hours: float | None = Field(examples=[812.5])
    cost_usd: float | None = Field(examples=[2031.25])
