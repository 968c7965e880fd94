"""A rise that a person approved, while it waits at the patch for GPUs of a budget."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from services.decision.budgets.budgets import gpus_left
from tests.integration.operator.conftest import GROUP_PATH, Bench, Lab

pytestmark = pytest.mark.integration

BUDGETS = f"{GROUP_PATH}/gpubudgets"
APPROVED = "scaling.harmony.dev/approved-decision"


@pytest.fixture(autouse=True)
def budget(lab: Lab) -> Iterator[None]:
    """Eight H100."""
    body = {"metadata": {"name": "hopper"}, "spec": {"gpuType": "H100", "gpus": 8}}
    lab.post(BUDGETS, body | {"apiVersion": "scaling.harmony.dev/v1alpha1", "kind": "GPUBudget"})
    yield
    assert lab.http.delete(BUDGETS).status_code == 200


def in_use(bench: Bench) -> int:
    """GPUs of one each that targets ask for or pods still hold."""
    names = ("asks", "falls", "rises")
    return sum(max(bench.lab.replicas(name), len(bench.lab.pods(name))) for name in names)


def deploy(bench: Bench, mode: str, **counts: int) -> None:
    """Services that run; their pods take their time to end. One asks in a mode."""
    for name, count in counts.items():
        bench.lab.deploy(name, replicas=count, annotations={"lab.harmony.dev/drain": "20s"})
        bench.lab.autoscale(name, mode=mode if name == "asks" else "Auto")
    for _ in range(3):
        bench.step()


def left(bench: Bench) -> int | None:
    """What decisions are granted from."""
    with bench.engine.begin() as connection:
        return gpus_left(connection, bench.deps.settings, "H100", 1, bench.clock.now())


@pytest.mark.parametrize("mode", ["Approval", "Auto"])
def test_nobody_takes_bit_by_bit_what_an_earlier_rise_waits_for(bench: Bench, mode: str) -> None:
    """It waited for the pods of a fall; a later rise took what was free meanwhile."""
    deploy(bench, mode, asks=2, falls=4, rises=1)
    asked = bench.decide("asks", 6)
    if mode == "Approval":
        bench.reconcile()
        bench.lab.annotate("asks", {APPROVED: str(asked)})
    bench.decide("falls", 1, current_replicas=4, direction="down")
    bench.decide("rises", 2, current_replicas=1)
    most = 0
    for _ in range(90):
        bench.reconcile()
        most = max(most, in_use(bench))
        bench.clock.advance(1)
        bench.lab.advance(bench.clock.now())
    assert most <= 8
    found = {name: bench.lab.replicas(name) for name in ("asks", "falls", "rises")}
    assert found == {"asks": 6, "falls": 1, "rises": 1}


def wait_for_approved(bench: Bench) -> int:
    """A rise from 2 to 7 that is approved, and waits for the pods of a fall from 6 to 1."""
    deploy(bench, "Approval", asks=2, falls=6)
    asked = bench.decide("asks", 7)
    bench.reconcile()
    bench.lab.annotate("asks", {APPROVED: str(asked)})
    bench.decide("falls", 1, current_replicas=6, direction="down")
    bench.reconcile()
    assert bench.results()[-1] == (asked, 2, "waiting")
    assert (bench.lab.replicas("asks"), bench.lab.replicas("falls")) == (2, 1)
    return asked


def test_what_an_approved_rise_waits_for_is_granted_to_nobody(bench: Bench) -> None:
    """Decisions of other services are made from what is left meanwhile."""
    asked = wait_for_approved(bench)
    bench.clock.advance(1)
    bench.reconcile()  # sees the fall
    assert bench.results()[-1] == (asked, 2, "waiting")
    assert left(bench) == 0
    bench.step()
    assert bench.results()[-1] == (asked, 3, "applied")
    assert left(bench) == 0, "before the next pass has seen what was made"
    bench.step()
    assert left(bench) == 0
    bench.lab.scale("asks", 3)
    bench.step()
    assert left(bench) == 4, "another hand has taken it back"


def test_what_an_approved_rise_waits_for_is_free_once_nobody_wants_it(bench: Bench) -> None:
    asked = wait_for_approved(bench)
    bench.lab.annotate(
        "asks", {APPROVED: None, "scaling.harmony.dev/rejected-decision": str(asked)}
    )
    bench.clock.advance(1)
    bench.reconcile()
    assert bench.results()[-1] == (asked, 3, "rejected")
    assert left(bench) == 5


def test_the_shares_of_other_shards_say_what_an_approved_rise_waits_for(bench: Bench) -> None:
    """They are added up for each change; a rise that waits is one. Each service is a shard here."""
    settings = bench.deps.settings.model_copy(update={"shard_size": 1})
    bench.deps = replace(bench.deps, settings=settings)
    deploy(bench, "Approval", asks=2, falls=6)
    asked = bench.decide("asks", 7)
    bench.decide("falls", 1, current_replicas=6, direction="down")
    bench.reconcile()
    bench.clock.advance(1)
    bench.reconcile()
    assert left(bench) == 5, "nobody has approved it; each shard is added up from here on"
    bench.lab.annotate("asks", {APPROVED: str(asked)})
    bench.lab.scale("falls", 6)
    bench.reconcile()
    assert bench.results()[-1] == (asked, 2, "waiting")
    bench.lab.scale("falls", 1)
    bench.clock.advance(1)
    bench.reconcile()
    assert left(bench) == 0


def test_what_was_approved_takes_what_fits_once_it_has_waited_for_a_step(bench: Bench) -> None:
    """A pod that never ends keeps nobody from what is free for longer than that."""
    settings = bench.deps.settings.model_copy(update={"step_s": 10})
    deploy(bench, "Approval", asks=2, falls=4, rises=1)
    bench.deps = replace(bench.deps, settings=settings)
    asked = bench.decide("asks", 6)
    bench.reconcile()
    bench.lab.annotate("asks", {APPROVED: str(asked)})
    bench.decide("falls", 1, current_replicas=4, direction="down")
    bench.reconcile()
    counts = []
    for _ in range(3):
        bench.clock.advance(6)
        bench.lab.advance(bench.clock.now())
        bench.reconcile()
        counts.append(bench.lab.replicas("asks"))
    assert len(bench.lab.pods("falls")) == 4, "they are still ending"
    assert counts == [2, 3, 3]
    assert in_use(bench) == 8
