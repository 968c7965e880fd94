"""A replica counts as what its pods ask for, where the spec states less."""

from __future__ import annotations

from typing import Any

from services.operator.cluster.pods import ClaimRef
from services.operator.cluster.targets import TargetState
from services.operator.devices.counted_gpus import MOST, as_counted, budget_types, gpus_asked
from services.operator.resource.autoscaler import Autoscaler
from services.operator.resource.translate import to_autoscaler
from tests.unit.operator.examples import resource
from tests.unit.operator.pods import shape
from tests.unit.operator.variants import two_pools, two_variants_read


def one(**changes: Any) -> Autoscaler:
    return to_autoscaler(resource(**changes), {})


def state(*gpus: int, **given: Any) -> TargetState:
    return TargetState("u", "1", 2, shape=tuple(shape(each) for each in gpus), **given)


def test_what_pods_ask_for_is_counted_where_it_is_more() -> None:
    stated = one(gpusPerReplica=2)
    found = as_counted(stated, (4,), ())
    assert found.spec is not None
    assert found.spec.gpus_per_replica == 4
    assert found.counted_note == (
        "a replica of Deployment/llama asks for 4 GPUs and gpusPerReplica says 2: 4 are counted; "
        "set gpusPerReplica: 4"
    )
    for asked in (0, 1, 2):
        assert as_counted(stated, (asked,), ()) is stated
    assert as_counted(stated, (1000,), ()).spec.gpus_per_replica == MOST  # type: ignore[union-attr]


def test_each_variant_and_pool_is_counted_by_its_own_pods() -> None:
    variants = two_variants_read()
    found = as_counted(variants, (1, 8), ())
    assert found.spec is not None
    assert [each.gpus_per_replica for each in found.spec.variants] == [1, 8]
    assert [part.spec.gpus_per_replica for part in found.parts] == [1, 8]
    assert found.spec.gpus_per_replica == 1
    assert "Deployment/llama-l4 asks for 8 GPUs" in found.counted_note
    assert as_counted(variants, (1, 1), ()) is variants
    pools = as_counted(to_autoscaler(two_pools(), {}), (4, 2), ())
    assert pools.spec is not None
    assert [each.gpus_per_replica for each in pools.spec.pools] == [4, 2]
    assert pools.spec.gpus_per_replica == 4


def test_a_group_asks_for_what_all_its_pods_do_and_claims_are_left_as_stated() -> None:
    autoscaler = one()
    key = autoscaler.target.key
    assert gpus_asked(autoscaler, {key: state(8, 8)}) == (16,)
    assert gpus_asked(autoscaler, {key: state()}) == (0,)
    assert gpus_asked(autoscaler, {}) == (0,)
    claimed = state(8)
    claimed = TargetState("u", "1", 2, shape=(*claimed.shape, shape(0, claims=(ClaimRef("c"),))))
    assert gpus_asked(autoscaler, {key: claimed}) == (0,)


def test_a_type_in_another_spelling_counts_as_the_budget_has_it() -> None:
    stated = one(gpuType="h100")
    found = as_counted(stated, (0,), ("A100", "H100"))
    assert found.spec is not None
    assert found.spec.gpu_type == "H100"
    assert found.counted_note == "gpuType h100 is counted as H100, as its GPUBudget spells it"
    for types in (("h100",), ("H100", "h100"), ("A100",), ()):
        assert as_counted(stated, (0,), types) is stated
    variants = as_counted(two_variants_read(), (0, 0), ("l4",))
    assert variants.spec is not None
    assert [each.gpu_type for each in variants.spec.variants] == ["H100", "l4"]
    assert variants.spec.gpu_type == "H100"


def test_a_type_of_the_same_gpus_as_a_budget_that_does_not_count_it_is_told() -> None:
    stated = one(gpuType="NVIDIA-H100-80GB-HBM3")
    found = as_counted(stated, (0,), ("H100",))
    assert found.spec is stated.spec
    assert "is under no GPUBudget, and H100 is of the same GPUs" in found.counted_note
    assert as_counted(one(gpuType="A100-MIG-1g.5gb"), (0,), ("A100",)).counted_note == ""
    both = ("H100", "NVIDIA-H100-80GB-HBM3")
    assert as_counted(stated, (0,), both) is stated


def test_types_of_budgets_whatever_the_objects_hold() -> None:
    objects: list[dict[str, Any]] = [
        {"spec": {"gpuType": "H100"}}, {"spec": {"gpuType": 7}}, {"spec": None}, {},
        {"spec": {"gpuType": "*"}}, {"spec": {"gpuType": "A100"}},
    ]  # fmt: skip
    assert budget_types(objects) == ("A100", "H100")
