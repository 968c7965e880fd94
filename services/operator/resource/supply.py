"""What a `GPUBudget` says of where its GPUs come from, and what its status shows of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from services.operator.resource.fields import Decimal, Duration, ResourceModel


class _KnownFields(ResourceModel):
    """A piece whose fields are all known: a setting that does nothing must not look like one."""

    @model_validator(mode="before")
    @classmethod
    def _has_no_others(cls, written: Any) -> Any:
        """Refuse fields that are not known; the API server prunes them, where it has the schema."""
        if not isinstance(written, Mapping):
            return written
        names = {name: field.alias or name for name, field in cls.model_fields.items()}
        for name, value in written.items():
            if name not in names and name not in names.values():
                known = ", ".join(sorted(names.values()))
                raise ValueError(f"{name}={value!r} is no field of it; its fields are {known}")
        return written


class SupplyHeadroom(_KnownFields):
    """GPUs that are held ready for what services may need while a node starts."""

    mode: Literal["off", "advise", "apply"] = Field(
        "advise",
        description="advise: status, REST and metrics say how many, at what cost, and what it "
        "averts; apply: a CapacityBuffer in the operator's namespace holds them",
    )
    risk: Annotated[Decimal, Field(ge=0.001, le=0.5)] | None = Field(
        None,
        description="At most this chance of a need, within the start-up of a node, that nothing "
        "is free for; 0.001 to 0.5. Default: what costs least, by what services pay for risk",
    )


class Supply(_KnownFields):
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
    spot: bool | None = Field(
        None,
        description="All nodes of the type are spot nodes, where their labels do not tell; how "
        "often they are interrupted is learned. Default: false",
    )
    headroom: SupplyHeadroom | None = Field(
        None,
        description="Of a supply that is provisioned. Default: mode advise, at what costs least",
    )


class HeadroomStatus(ResourceModel):
    """GPUs that should be ready beyond those in use, as it was last advised."""

    risk: float = Field(
        description="Chance of a need beyond it that was asked for, or that costs least"
    )
    gpus: int = Field(description="To have ready, those that are free among them")
    free_gpus: int = Field(description="Free now")
    cost_per_hour: float = Field(description="In USD, while it is held")
    risk_before: float = Field(description="Chance of a need that nothing is free for, now")
    risk_after: float = Field(description="The same while it is held")
    time: datetime = Field(description="When that was")


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
    headroom: HeadroomStatus | None = Field(
        None, description="Absent: the supply is fixed, it is off, or nothing was advised yet"
    )
