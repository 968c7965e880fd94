"""Change freezes, as the API takes and returns them."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field, model_validator

from services.admin.rest.schemas import FreezeDirection, In, ObjectName, Out, Reason
from services.admin.rest.times import Instant


class FreezeRequest(In):
    """A change freeze for a workload, a namespace or, without either, the fleet."""

    namespace: ObjectName | None = Field(None, max_length=63, examples=["prod"])
    workload: ObjectName | None = Field(None, max_length=253, examples=["llama-70b"])
    direction: FreezeDirection = Field("Both", examples=["ScaleDown"])
    from_at: Instant | None = Field(
        None, description="Null: now", examples=["2026-11-27T00:00:00Z"]
    )
    until_at: Instant = Field(examples=["2026-11-30T00:00:00Z"])
    reason: Reason = Field("", examples=["Black Friday"])

    @model_validator(mode="after")
    def _consistent(self) -> FreezeRequest:
        if self.workload is not None and self.namespace is None:
            raise ValueError(f"workload={self.workload!r} needs its namespace")
        if self.from_at is not None and self.from_at >= self.until_at:
            raise ValueError(f"until_at={self.until_at.isoformat()} must be after from_at")
        return self


class FreezeView(Out):
    """A change freeze."""

    id: int = Field(examples=[7])
    cluster: str = Field(examples=["default"])
    namespace: str | None = Field(description="Null: every namespace", examples=["prod"])
    workload: str | None = Field(description="Null: every workload", examples=[None])
    direction: FreezeDirection = Field(examples=["ScaleDown"])
    from_at: datetime
    until_at: datetime
    reason: str = Field(examples=["Black Friday"])
    is_in_force: bool
    created_by: str = Field(examples=["ops (0123456789)"])
    created_at: datetime
    lifted_at: datetime | None = Field(None, description="Null: it was not lifted early")
