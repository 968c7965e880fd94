"""A single pool or variant at zero: put there by Harmony it is woken, stopped by hand it is not."""

from __future__ import annotations

import pytest

from tests.integration.operator.conftest import Bench
from tests.integration.operator.reconcile import pools, test_apply_parts as variants
from tests.integration.operator.reconcile.pools import DECODE, PREFILL
from tests.integration.operator.reconcile.test_apply_parts import H100, L4
from tests.integration.operator.reconcile.test_apply_parts_pools import decide

pytestmark = pytest.mark.integration


def with_pools(bench: Bench, prefill: int, decode: int) -> None:
    """Pools that run, of which prefill may have no replicas."""
    pools.deploy(bench.lab, prefill=prefill, decode=decode)
    pools.autoscale(bench.lab, pools=[PREFILL | {"minReplicas": 0}, DECODE])
    for _ in range(3):
        bench.step()


def raise_prefill(bench: Bench) -> None:
    bench.lab.change("llama", {"pools": [PREFILL | {"minReplicas": 1}, DECODE]})
    bench.step()


def test_a_pool_put_to_zero_is_woken_after_its_least_count_is_raised(bench: Bench) -> None:
    with_pools(bench, 2, 2)
    decide(bench, (2, 0), (2, 2))
    bench.step()
    decide(bench, (0, 0), (2, 3))  # the newest action is one of the other pool
    bench.step()
    assert pools.replicas(bench) == (0, 3)
    raise_prefill(bench)
    decide(bench, (0, 1), (3, 3))
    bench.step()
    assert pools.replicas(bench) == (1, 3)
    assert bench.lab.condition("llama", "ScalingLimited")["reason"] != "ScaledToZeroByHand"


def test_a_pool_stopped_by_hand_stays_so_and_that_is_said(bench: Bench) -> None:
    with_pools(bench, 2, 2)
    raise_prefill(bench)
    decide(bench, (2, 3), (2, 2))
    bench.step()
    bench.lab.scale("llama-prefill", 0)
    bench.step()
    decide(bench, (0, 2), (2, 4))
    bench.step()
    assert pools.replicas(bench) == (0, 4)
    limited = bench.lab.condition("llama", "ScalingLimited")
    assert (limited["status"], limited["reason"]) == ("True", "ScaledToZeroByHand")
    assert limited["message"].startswith("the target of prefill was scaled to zero by hand")


def test_what_was_stopped_by_hand_stays_so_though_harmony_put_another_to_zero(
    bench: Bench,
) -> None:
    pools.deploy(bench.lab, prefill=2, decode=2)
    asleep = {"minReplicas": 0}
    pools.autoscale(bench.lab, pools=[PREFILL | asleep, DECODE | asleep])
    for _ in range(3):
        bench.step()
    bench.lab.scale("llama-prefill", 0)
    bench.step()
    decide(bench, (0, 0), (2, 0))
    bench.step()
    bench.lab.change("llama", {"pools": [PREFILL, DECODE]})
    bench.step()
    decide(bench, (0, 1), (0, 1))
    bench.step()
    assert pools.replicas(bench) == (0, 1)


def test_a_variant_put_to_zero_is_woken_after_its_least_count_is_raised(bench: Bench) -> None:
    variants.deploy(bench.lab, h100=2, l4=2)
    variants.autoscale(bench.lab)
    for _ in range(3):
        bench.step()
    variants.decide(bench, (2, 2), (2, 0))
    for _ in range(2):
        bench.step()
    assert variants.replicas(bench) == (2, 0)
    bench.lab.change("llama", {"variants": [H100, L4 | {"minReplicas": 1}]})
    bench.step()
    variants.decide(bench, (2, 2), (0, 1))
    bench.step()
    assert variants.replicas(bench) == (2, 1)
