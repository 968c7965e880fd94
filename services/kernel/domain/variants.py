"""Variants of a workload: kinds of replicas that serve the same load behind one router."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, NamedTuple, Self

from pydantic import Field

from services.kernel.domain.parts import PartSpec, check_parts

MAX_VARIANTS = 8


class VariantSpec(PartSpec):
    """One kind of replica.

    Attributes:
        capacity_per_replica: Load that one replica serves within the SLO, in the unit of the
            demand; None: that of a reference replica (`capacity.per_replica` of the workload).
    """

    WORD: ClassVar[str] = "variant"

    capacity_per_replica: float | None = Field(None, gt=0, allow_inf_nan=False)

    def ratio(self, reference: float) -> float:
        """Reference replicas that one replica is worth.

        Args:
            reference: Load that a reference replica serves.
        """
        own = self.capacity_per_replica
        return 1.0 if own is None else own / reference

    def worth(self, ratio: float, reference: float) -> Self:
        """The same kind where one replica is worth so many reference replicas.

        Args:
            ratio: Reference replicas, as they were learned.
            reference: Load that a reference replica serves.
        """
        return self.model_copy(update={"capacity_per_replica": reference * ratio})


def check_variants(variants: Sequence[VariantSpec]) -> None:
    """Refuse variants that cannot be told apart.

    Raises:
        ValueError: Two have the same name or the same target, or there are too many.
    """
    if len(variants) > MAX_VARIANTS:
        raise ValueError(f"variants: {len(variants)} given, at most {MAX_VARIANTS}")
    check_parts(variants)


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
