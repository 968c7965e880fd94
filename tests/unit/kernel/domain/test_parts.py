"""What variants and pools have in common."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from services.kernel.domain.parts import PartSpec, check_parts
from services.kernel.domain.pools import PoolSpec
from services.operator.resource.translate import to_autoscaler
from tests.unit.operator.examples import resource


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


@pytest.mark.parametrize("field", ["variants", "pools"])
def test_a_part_keeps_no_more_than_a_workload_may_have(field: str) -> None:
    """More is no column's: no decision of the workload could be stored."""
    targets = ({"kind": "Deployment", "name": name} for name in ("a", "b"))
    loads = (["request_rate_rps"], ["tokens_per_s"])
    parts = [
        {"name": ref["name"], "gpuType": "H100", "scaleTargetRef": ref}
        | ({"boundBy": load} if field == "pools" else {})
        for ref, load in zip(targets, loads, strict=True)
    ]
    written = resource(
        scaleTargetRef=None,
        gpuType=None,
        indicators=[{"name": name, "level": 1} for (name,) in loads],
        capacity={
            "perReplica": "10",
            "alsoBoundBy": [{"indicator": "tokens_per_s", "perReplica": "900"}],
        },
        **{field: parts},
    )
    for least, is_let_in in ((100_000, True), (100_001, False), (3_000_000_000, False)):
        parts[0]["minReplicas"] = least
        found = to_autoscaler(written, {})
        assert (found.spec is not None) == is_let_in, found.problem
        assert is_let_in or "less than or equal to 100000" in found.problem


def test_a_replica_counts_once() -> None:
    assert part("a").ratio(10.0) == 1.0
