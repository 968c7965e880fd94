"""From forecasts to nodes that are held, and what bursts get from them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from services.decision.headroom.advise import advise_headroom
from tests.integration.operator.conftest import Bench, Lab, cluster_process, lab_in
from tests.integration.operator.headroom.test_buffers import (
    add_pool,
    ask,
    buffers,
    held,
    serve,
)
from tests.integration.operator.reconcile.chain import Chain

__all__ = ["held"]
pytestmark = [pytest.mark.integration, pytest.mark.slow]

N_STEPS = 32
NOTHING_LEARNED_S = 20.0
"""Steps that begin so long after the minute are not on the workload's grid: nothing is learned of
them, and the level of risk stays. What is left to tell both modes apart are the nodes."""


@pytest.fixture
def lab() -> Iterator[Lab]:
    """A cluster of the test's own, at the same time and with the same nodes in every run.

    On the cluster of the run the tests before decide whether a step begins on the minute, and with
    that whether anything is learned; the luck of a start comes of the pod's namespace.
    """
    with cluster_process() as url, lab_in(url, "serving") as lab:
        yield lab


def short_steps(bench: Bench, mode: str, offset_s: float) -> tuple[int, int]:
    """Replicas short over all steps, and the most chunks that were held.

    Every eighth step raises, for four steps, a demand that the two nodes of the cluster just bear;
    a node comes in three minutes.
    """
    bench.clock.advance(offset_s)
    bench.lab.advance(bench.clock.now())
    serve(bench)
    add_pool(bench, startup="180s")
    ask(bench, mode=mode, ceiling=200, risk="0.01")
    bench.lab.change("llama", {"maxReplicas": 60})
    chain = Chain(bench)
    short = most = 0
    for n in range(N_STEPS):
        level = 140.0 * (1.6 if n % 8 >= 4 else 1.0)
        chain.step(level)
        advise_headroom(chain.deps)
        short += max(0, math.ceil(level / 10.0) - chain.served[-1])
        most = max(most, *(each["spec"]["replicas"] for each in buffers(bench)), 0)
    return short, most


@pytest.mark.parametrize(("mode", "least", "most"), [("apply", 0, 70), ("advise", 90, 300)])
def test_bursts_wait_less_where_headroom_is_held(
    held: Bench, mode: str, least: int, most: int
) -> None:
    short, chunks = short_steps(held, mode, NOTHING_LEARNED_S)
    print(f"{mode}: {short} replicas short over {N_STEPS} steps, {chunks} chunks held at most")
    assert (chunks > 0) == (mode == "apply")
    assert least <= short <= most


@pytest.mark.parametrize("mode", ["apply", "advise"])
def test_once_bursts_are_learned_the_replicas_hold_the_nodes(held: Bench, mode: str) -> None:
    """A buffer then changes little: the level of risk has risen with the first burst."""
    short, chunks = short_steps(held, mode, 0.0)
    print(f"{mode}, learned: {short} replicas short over {N_STEPS} steps, {chunks} chunks at most")
    assert (chunks > 0) == (mode == "apply")
    assert short <= 70
