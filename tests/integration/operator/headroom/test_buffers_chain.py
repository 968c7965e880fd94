"""From forecasts to nodes that are held, and what bursts get from them."""

from __future__ import annotations

import math

import pytest

from services.decision.headroom.advise import advise_headroom
from tests.integration.operator.conftest import Bench
from tests.integration.operator.headroom.test_buffers import (
    add_pool,
    ask,
    buffers,
    held,
    serve,
)
from tests.integration.operator.reconcile.chain import Chain

__all__ = ["held"]
pytestmark = pytest.mark.integration

N_STEPS = 32


def short_steps(bench: Bench, mode: str) -> tuple[int, int]:
    """Replicas short over all steps, and the most chunks that were held.

    Every eighth step doubles, for four steps, a demand that the two nodes of the cluster just bear;
    a node comes in three minutes.
    """
    serve(bench)
    add_pool(bench, startup="180s")
    ask(bench, mode=mode, ceiling=200)
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
    short, chunks = short_steps(held, mode)
    print(f"{mode}: {short} replicas short over {N_STEPS} steps, {chunks} chunks held at most")
    assert (chunks > 0) == (mode == "apply")
    assert least <= short <= most
