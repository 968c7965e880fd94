"""What is stated of the time from scaling to Ready."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class LeadTimeSpec(BaseModel):
    """Prior of the lead time (scaling to Ready) until starts have been measured.

    Attributes:
        median_s: Median in seconds.
        sigma: Standard deviation of its logarithm.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    median_s: float = Field(90.0, gt=0, le=7200)
    sigma: float = Field(0.5, ge=0, le=3)
