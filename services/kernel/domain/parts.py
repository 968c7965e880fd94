"""Parts of a workload: what it has instead of one scale target, be they variants or pools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

MOST_REPLICAS = 100_000
"""Of one workload: more is a slip of the pen, and counts are kept in 32 bits."""
MOST_USD_PER_GPU_HOUR = 1_000_000
"""A price that somebody may state: beyond it sums of losses stop being numbers."""


class PartSpec(BaseModel):
    """One of several scale targets of a workload, with its hardware and bounds.

    Attributes:
        WORD: What such a part is called.
        name: Unique within the workload.
        target: `Kind/name` of its scale target in the same namespace.
        min_replicas: Replicas that are kept in any case.
        max_replicas: Replicas that may run; None: as many as the workload's own maximum is worth.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    WORD: ClassVar[str] = "part"

    name: Annotated[str, Field(min_length=1, max_length=63)]
    target: str
    gpu_type: Annotated[str, Field(min_length=1, max_length=63)]
    gpus_per_replica: int = Field(1, ge=1, le=64)
    price_usd_per_gpu_hour: float = Field(2.5, ge=0)
    min_replicas: int = Field(0, ge=0, le=MOST_REPLICAS)
    max_replicas: int | None = Field(None, ge=1, le=MOST_REPLICAS)

    @model_validator(mode="after")
    def _consistent(self) -> PartSpec:
        most = self.max_replicas
        if most is not None and self.min_replicas > most:
            raise ValueError(
                f"min_replicas={self.min_replicas} of {self.WORD} {self.name!r} must be <= "
                f"max_replicas={most}"
            )
        return self

    def ratio(self, reference: float) -> float:
        """Counted replicas that one replica is worth.

        Args:
            reference: Load that a replica of the stated capacity serves.
        """
        return 1.0


def check_parts(parts: Sequence[PartSpec]) -> None:
    """Refuse parts that cannot be told apart.

    Raises:
        ValueError: Two have the same name or the same target.
    """
    for field in ("name", "target"):
        values = [getattr(part, field) for part in parts]
        if len(set(values)) != len(values):
            word = parts[0].WORD
            raise ValueError(f"{word}s: each {field} must be given once, got {values}")
