"""A replica counts as what its pods ask for, where the spec states less."""

from __future__ import annotations

from typing import Any

from services.operator.cluster.pods import ClaimRef
from services.operator.cluster.targets import TargetState
from services.operator.devices.counted_gpus import MOST, gpus_asked, with_counted_gpus
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
    found = with_counted_gpus(stated, (4,))
    assert found.spec is not None
    assert found.spec.gpus_per_replica == 4
    assert found.gpus_note == (
        "a replica of Deployment/llama asks for 4 GPUs and gpusPerReplica says 2: 4 are counted; "
        "set gpusPerReplica: 4"
    )
    for asked in (0, 1, 2):
        assert with_counted_gpus(stated, (asked,)) is stated
    assert with_counted_gpus(stated, (1000,)).spec.gpus_per_replica == MOST  # type: ignore[union-attr]


def test_each_variant_and_pool_is_counted_by_its_own_pods() -> None:
    variants = two_variants_read()
    found = with_counted_gpus(variants, (1, 8))
    assert found.spec is not None
    assert [each.gpus_per_replica for each in found.spec.variants] == [1, 8]
    assert [part.spec.gpus_per_replica for part in found.parts] == [1, 8]
    assert found.spec.gpus_per_replica == 1
    assert "Deployment/llama-l4 asks for 8 GPUs" in found.gpus_note
    assert with_counted_gpus(variants, (1, 1)) is variants
    pools = with_counted_gpus(to_autoscaler(two_pools(), {}), (4, 2))
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
