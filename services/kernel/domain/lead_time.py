"""What is stated of the time from scaling to Ready, and what a start may have to do first."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

WARM, COLD, RESTORED = "warm", "cold", "restored"
"""Causes of a start's time: its image is on the node, it is pulled, a snapshot is restored."""
MOST_MEDIAN_S = 7200.0


class LeadTimeSpec(BaseModel):
    """Prior of the lead time (scaling to Ready) until starts have been measured.

    Attributes:
        median_s: Median in seconds.
        sigma: Standard deviation of its logarithm.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    median_s: float = Field(90.0, gt=0, le=MOST_MEDIAN_S)
    sigma: float = Field(0.5, ge=0, le=3)
