"""Cells, as the API returns them."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from services.admin.rest.schemas import Out


class CellGpusView(Out):
    """GPUs of a type in a cell."""

    gpu_type: str = Field(examples=["H100"])
    n_workloads: int = Field(examples=[12])
    used_gpus: int | None = Field(
        description="GPUs that the targets ask for; null: not known of all workloads", examples=[48]
    )
    is_budgeted: bool = Field(description="False: nothing limits the type here")
    budget_gpus: int | None = Field(
        description="GPUs that may be used; null: there is no budget, or it cannot be read",
        examples=[64],
    )
    cell_gpus: int | None = Field(
        description="Of a total over the cells, what this one may hold now; null: there is none",
        examples=[None],
    )
    price_usd_per_gpu_hour: float | None = Field(
        description="Losses that one GPU more would avert, at the newest decision; 0: not scarce; "
        "null: there is none, or minimum replicas alone exceed the budget",
        examples=[0.5],
    )


class CellView(Out):
    """A cluster with what decides about it."""

    cluster: str = Field(examples=["default"])
    n_workloads: int = Field(description="Active ones", examples=[120])
    n_stale: int = Field(description="Active ones without a decision that is valid now")
    decided_at: datetime | None = Field(description="Time of the newest decision")
    oldest_decided_at: datetime | None = Field(
        description="The oldest of the newest decisions of its workloads"
    )
    operator_seen_at: datetime | None = Field(
        description="When its operator last confirmed that it runs; null: never"
    )
    gpus: list[CellGpusView] = Field(description="By GPU type")
