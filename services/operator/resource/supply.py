"""What a `GPUBudget` says of where its GPUs come from, and what its status shows of it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from services.operator.resource.fields import Duration, ResourceModel


class Supply(ResourceModel):
    """Where GPUs of the type come from: nodes that exist, or nodes that are added for pods."""

    mode: Literal["auto", "fixed", "provisioned"] = Field(
        "auto",
        description="fixed: no pod is made to wait for a node; provisioned: pods may wait, up to "
        "the ceiling; auto: provisioned where the limits of what adds nodes can be read",
    )
    ceiling: Annotated[int, Field(ge=0)] | None = Field(
        None,
        description="GPUs of the type that all pods together may ask for, those of others too. "
        "Default: what NodePools and node groups may have, with the nodes beside them",
    )
    node_startup_s: Duration | None = Field(
        None,
        alias="nodeStartup",
        description="Usual time from a pod's request to its place on a new node; learned from "
        "there on. Default: 5m",
    )


class SupplyStatus(ResourceModel):
    """Where GPUs of the type come from, as it was last seen."""

    mode: Literal["fixed", "provisioned"]
    ceiling: int | None = Field(None, description="Absent: the supply is fixed")
    node_gpus: int | None = Field(None, description="GPUs that nodes have")
    asked_gpus: int | None = Field(None, description="GPUs that all pods ask for")
    node_startup: str | None = Field(
        None, description="Median from a pod's request to its place on a new node"
    )
    node_startups: int | None = Field(None, description="Starts that it was learned from")
    retry_time: datetime | None = Field(
        None, description="After a refusal: when one increase may try again"
    )
