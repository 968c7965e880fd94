"""What variants and pools have in common."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from services.kernel.domain.parts import PartSpec, check_parts
from services.kernel.domain.pools import PoolSpec


def part(name: str, target: str = "") -> PartSpec:
    return PartSpec(name=name, target=target or f"Deployment/{name}", gpu_type="H100")


def test_parts_are_told_apart_by_name_and_target() -> None:
    check_parts([])
    check_parts([part("a"), part("b")])
    with pytest.raises(ValueError, match="parts: each name must be given once, got"):
        check_parts([part("a"), part("a", "Deployment/b")])
    with pytest.raises(ValueError, match="parts: each target must be given once, got"):
        check_parts([part("a"), part("b", "Deployment/a")])


def test_bounds_that_cannot_be_kept_are_refused_in_the_words_of_the_part() -> None:
    with pytest.raises(ValidationError, match="min_replicas=3 of pool 'a' must be <= max_rep"):
        PoolSpec(
            name="a", target="Deployment/a", gpu_type="H100", loads=("x",), min_replicas=3,
            max_replicas=2,
        )  # fmt: skip


def test_a_replica_counts_once() -> None:
    assert part("a").ratio(10.0) == 1.0
