"""SLAClass objects on the simulated cluster: a class that is named must be there."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.integration.operator.conftest import GROUP_PATH, Bench, Lab

pytestmark = pytest.mark.integration

CLASSES = f"{GROUP_PATH}/slaclasses"
Write = Callable[..., None]


@pytest.fixture
def write(lab: Lab) -> Iterator[Write]:
    """Creates an SLAClass; all are removed afterwards, for they belong to no namespace."""

    def create(name: str, epsilon: str, priority: int | None = None) -> None:
        spec = {"risk": {"epsilon": epsilon}} | ({} if priority is None else {"priority": priority})
        lab.post(
            CLASSES,
            {
                "apiVersion": "scaling.harmony.dev/v1alpha1",
                "kind": "SLAClass",
                "metadata": {"name": name},
                "spec": spec,
            },
        )

    yield create
    assert lab.http.delete(CLASSES).status_code == 200


def sla(bench: Bench) -> tuple[str, int, float]:
    (workload,) = bench.rows("workloads")
    stored = workload["spec"]["sla"]
    return stored["sla_class"], stored["priority"], stored["epsilon"]


def test_a_class_brings_its_promise_and_its_priority(bench: Bench, write: Write) -> None:
    write("platinum", "0.001", 400)
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama", sla={"class": "platinum"})
    bench.reconcile()
    assert sla(bench) == ("platinum", 400, 0.001)


def test_a_class_without_a_priority_has_that_of_its_name(bench: Bench, write: Write) -> None:
    write("gold", "0.001")
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama", sla={"class": "gold", "risk": {"epsilon": "0.05"}})
    bench.reconcile()
    assert sla(bench) == ("gold", 200, 0.05)


def test_a_class_that_went_away_is_said_and_what_was_known_stays(
    bench: Bench, write: Write
) -> None:
    write("platinum", "0.001", 400)
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama", sla={"class": "platinum"})
    bench.reconcile()
    bench.lab.http.delete(f"{CLASSES}/platinum")
    decision = bench.decide("llama", 5)
    bench.reconcile()
    ready = bench.lab.condition("llama", "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "InvalidSpec")
    assert "sla.class='platinum' does not exist or cannot be read" in ready["message"]
    assert bench.results() == [(decision, 1, "failed")]
    assert sla(bench) == ("platinum", 400, 0.001)


def test_an_own_risk_is_followed_without_the_class_but_not_ready(bench: Bench) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama", sla={"class": "gold", "risk": {"epsilon": "0.05"}})
    bench.reconcile()
    decision = bench.decide("llama", 5)
    bench.reconcile()
    assert bench.results() == [(decision, 1, "applied")]
    assert sla(bench) == ("gold", 200, 0.05)
    ready = bench.lab.condition("llama", "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "SLAClassNotFound")
    assert "under a GPU budget it counts as priority 200; create or correct" in ready["message"]


def test_a_priority_of_nothing_is_refused(bench: Bench) -> None:
    answer = bench.lab.http.post(
        CLASSES,
        json={
            "apiVersion": "scaling.harmony.dev/v1alpha1",
            "kind": "SLAClass",
            "metadata": {"name": "free"},
            "spec": {"risk": {"epsilon": "0.01"}, "priority": 0},
        },
    )
    assert answer.status_code == 422
    assert "priority" in answer.text
