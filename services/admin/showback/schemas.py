"""What teams cost, as the API returns it."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from services.admin.rest.schemas import Out


class TeamCost(Out):
    """What the workloads of one team cost."""

    team: str | None = Field(
        description="Namespace, or value of the label; null: workloads without the label",
        examples=["chat"],
    )
    n_workloads: int
    gpu_hours: float | None = Field(description="Of the steps whose cost is known")
    cost_usd: float | None = Field(description="Null: of no step of theirs is it known")
    unmeasured_hours: float = Field(description="Workload-hours of which the cost is not known")


class Showback(Out):
    """Dollars per team; the sums are those of the rows."""

    by: str = Field(examples=["label=team"])
    from_at: datetime
    to_at: datetime
    teams: list[TeamCost] = Field(description="By name; those without the label last")
    gpu_hours: float | None
    cost_usd: float | None
    unmeasured_hours: float
