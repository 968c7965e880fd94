"""Variants of a workload: kinds of replicas that serve the same load behind one router."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator

MAX_VARIANTS = 8


class VariantSpec(BaseModel):
    """One kind of replica.

    Attributes:
        name: Unique within the workload.
        target: `Kind/name` of its scale target in the same namespace.
        capacity_per_replica: Load that one replica serves within the SLO, in the unit of the
            demand; None: that of a reference replica (`capacity.per_replica` of the workload).
        min_replicas: Replicas that are kept in any case.
        max_replicas: Replicas that may run; None: as many as the workload's own maximum is worth.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=63)]
    target: str
    gpu_type: Annotated[str, Field(min_length=1, max_length=63)]
    gpus_per_replica: int = Field(1, ge=1, le=64)
    capacity_per_replica: float | None = Field(None, gt=0, allow_inf_nan=False)
    price_usd_per_gpu_hour: float = Field(2.5, ge=0)
    min_replicas: int = Field(0, ge=0)
    max_replicas: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _consistent(self) -> VariantSpec:
        most = self.max_replicas
        if most is not None and self.min_replicas > most:
            raise ValueError(
                f"min_replicas={self.min_replicas} of variant {self.name!r} must be <= "
                f"max_replicas={most}"
            )
        return self

    def ratio(self, reference: float) -> float:
        """Reference replicas that one replica is worth.

        Args:
            reference: Load that a reference replica serves.
        """
        own = self.capacity_per_replica
        return 1.0 if own is None else own / reference


def check_variants(variants: Sequence[VariantSpec]) -> None:
    """Refuse variants that cannot be told apart.

    Raises:
        ValueError: Two have the same name or the same target, or there are too many.
    """
    if len(variants) > MAX_VARIANTS:
        raise ValueError(f"variants: {len(variants)} given, at most {MAX_VARIANTS}")
    for field in ("name", "target"):
        values = [getattr(variant, field) for variant in variants]
        if len(set(values)) != len(values):
            raise ValueError(f"variants: each {field} must be given once, got {values}")


def whole_units(units: float) -> int:
    """Reference replicas that a capacity, in the same unit, holds in full."""
    return math.floor(units + 1e-9)


class VariantStart(NamedTuple):
    """A starting replica: its age in seconds, and its worth in reference replicas."""

    age_s: float
    ratio: float


def unit_ages(starts: Sequence[VariantStart], before: float) -> tuple[tuple[float, ...], float]:
    """Starts of several variants as starts of reference replicas.

    Args:
        starts: Replicas that start, of any variants.
        before: Capacity that is there without them, in reference replicas.

    Returns:
        The age of the start that completes each further reference replica, oldest first, and the
        capacity with all of them.
    """
    ages: list[float] = []
    total = before
    for age_s, ratio in sorted(starts, reverse=True):
        ages += [age_s] * (whole_units(total + ratio) - whole_units(total))
        total += ratio
    return tuple(ages), total
