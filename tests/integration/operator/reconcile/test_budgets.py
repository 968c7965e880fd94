"""GPUBudget objects to `gpu_budgets` rows and back to their status, on the simulated cluster."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from services.kernel.db.session import unit_of_work
from services.operator.reconcile.budgets import to_budget, to_rows
from services.operator.stored import budgets_repository
from services.operator.wire.http import KubeError
from tests.integration.operator.conftest import GROUP_PATH, Bench, Lab

pytestmark = pytest.mark.integration

Write = Callable[..., None]
BUDGETS = f"{GROUP_PATH}/gpubudgets"


@pytest.fixture
def write(lab: Lab) -> Iterator[Write]:
    """Creates a GPUBudget; all are removed afterwards, for they belong to no namespace."""

    def create(name: str, gpu_type: str, gpus: int) -> None:
        lab.post(
            BUDGETS,
            {
                "apiVersion": "scaling.harmony.dev/v1alpha1",
                "kind": "GPUBudget",
                "metadata": {"name": name},
                "spec": {"gpuType": gpu_type, "gpus": gpus},
            },
        )

    yield create
    assert lab.http.delete(BUDGETS).status_code == 200


def rows(bench: Bench) -> dict[str, tuple[int | None, str]]:
    return {row["gpu_type"]: (row["gpus"], row["source"]) for row in bench.rows("gpu_budgets")}


def status(bench: Bench, name: str) -> dict[str, Any]:
    return dict(bench.lab.http.get(f"{BUDGETS}/{name}").json()["status"])


def change(bench: Bench, name: str, gpus: int) -> None:
    body = json.dumps({"spec": {"gpus": gpus}})
    headers = {"Content-Type": "application/merge-patch+json"}
    answer = bench.lab.http.patch(f"{BUDGETS}/{name}", content=body, headers=headers)
    assert answer.status_code == 200, answer.text


def test_a_budget_is_stored_changed_and_goes_with_its_object(bench: Bench, write: Write) -> None:
    bench.reconcile()
    assert rows(bench) == {}
    write("hopper", "H100", 12)
    bench.reconcile()
    assert rows(bench) == {"H100": (12, "GPUBudget/hopper")}
    change(bench, "hopper", 8)
    bench.reconcile()
    assert rows(bench) == {"H100": (8, "GPUBudget/hopper")}
    bench.lab.http.delete(f"{BUDGETS}/hopper")
    bench.reconcile()
    assert rows(bench) == {"H100": (8, "GPUBudget/hopper")}  # it may be made again any moment
    bench.clock.advance(bench.step_s * bench.deps.settings.stale_after_steps + 1)
    bench.reconcile()
    assert rows(bench) == {}


def test_a_budget_that_could_not_be_read_goes_at_once_with_its_object(
    bench: Bench, write: Write
) -> None:
    """It lets nothing be added, and who deletes it wants that to end."""
    write("hopper", "H100", 12)
    unreadable = to_rows([to_budget({"metadata": {"name": "bad"}, "spec": {"gpuType": "L4"}})])
    with unit_of_work(bench.engine) as work:
        budgets_repository.store_budgets(
            work.connection, unreadable, bench.clock.now(), bench.clock.now()
        )
    bench.reconcile()
    assert rows(bench) == {"H100": (12, "GPUBudget/hopper")}


def test_a_row_is_confirmed_once_per_step_and_not_at_each_pass(bench: Bench, write: Write) -> None:
    write("hopper", "H100", 12)
    bench.reconcile()
    (first,) = bench.rows("gpu_budgets")
    bench.clock.advance(1)
    bench.reconcile()
    assert bench.rows("gpu_budgets") == [first]
    bench.clock.advance(bench.step_s)
    bench.reconcile()
    assert bench.rows("gpu_budgets")[0]["observed_at"] == bench.clock.now()


def test_of_two_budgets_for_a_type_the_lower_holds(bench: Bench, write: Write) -> None:
    write("night", "H100", 8)
    write("day", "H100", 12)
    bench.reconcile()
    assert rows(bench) == {"H100": (8, "GPUBudget/day, GPUBudget/night")}
    (condition,) = status(bench, "day")["conditions"]
    assert (condition["status"], condition["reason"]) == ("False", "LowerBudgetHolds")
    assert "GPUBudget/night allows no more than 8 H100" in condition["message"]


def test_the_status_says_what_is_used_and_is_written_once(bench: Bench, write: Write) -> None:
    bench.lab.deploy("llama", replicas=3, gpus=2)
    bench.lab.autoscale("llama", gpusPerReplica=2)
    write("hopper", "H100", 12)
    write("misspelt", "h100", 12)
    bench.reconcile()
    found = status(bench, "hopper")
    assert found["usedGpus"] == 6
    assert [(c["type"], c["status"], c["reason"]) for c in found["conditions"]] == [
        ("Ready", "True", "Holds")
    ]
    (condition,) = status(bench, "misspelt")["conditions"]
    assert condition["reason"] == "Unused"
    assert "'h100'; the spelling must be the same" in condition["message"]
    assert bench.reconcile().n_statuses == 0
    change(bench, "hopper", 4)
    bench.reconcile()
    (condition,) = status(bench, "hopper")["conditions"]
    assert (condition["reason"], condition["message"]) == (
        "Exceeded",
        "6 GPUs are in use, 4 allowed: nothing is added",
    )


def test_budgets_that_cannot_be_listed_are_unknown_never_absent(bench: Bench, write: Write) -> None:
    write("hopper", "H100", 12)
    bench.reconcile()
    before = bench.rows("gpu_budgets")
    listed = bench.deps.kube.list_objects

    def refuse(kind: str) -> list[Any]:
        if kind == "GPUBudget":
            raise KubeError(403, "Forbidden", "gpubudgets is forbidden")
        return listed(kind)

    bench.deps.kube.list_objects = refuse  # type: ignore[method-assign]
    bench.reconcile()
    assert bench.rows("gpu_budgets") == before  # a moment's failure changes nothing
    bench.clock.advance(bench.step_s * (bench.deps.settings.stale_after_steps + 1))
    bench.reconcile()
    assert rows(bench) == {"H100": (12, "GPUBudget/hopper"), "*": (None, "operator")}
    assert [r for r in bench.rows("gpu_budgets") if r["gpu_type"] == "H100"] == before  # and stale
    bench.deps.kube.list_objects = listed  # type: ignore[method-assign]
    bench.reconcile()
    assert rows(bench) == {"H100": (12, "GPUBudget/hopper")}


def test_an_operator_that_never_read_the_budgets_says_so_at_once(bench: Bench) -> None:
    bench.lab.fault(kind="error", verb="list", resource="gpubudgets", times=100)
    bench.reconcile()
    assert rows(bench) == {"*": (None, "operator")}


def test_an_object_that_cannot_be_read_makes_its_type_unknown() -> None:
    good = {"metadata": {"name": "a"}, "spec": {"gpuType": "H100", "gpus": 8}}
    bad = {"metadata": {"name": "b"}, "spec": {"gpuType": "H100", "gpus": -1}}
    nameless = {"metadata": {"name": "c"}, "spec": {"gpus": 3}}
    (row,) = to_rows([to_budget(good), to_budget(bad)])
    assert (row.gpu_type, row.gpus) == ("H100", None)
    assert row.reason.startswith("GPUBudget/b: gpus: ")
    assert to_rows([to_budget(nameless)])[0].gpu_type == "*"


def test_a_replica_that_states_too_few_gpus_is_counted_by_its_pods(
    bench: Bench, write: Write
) -> None:
    """`gpusPerReplica` was left out, which is one, and the pods ask for two."""
    write("hopper", "H100", 6)
    bench.lab.deploy("big", replicas=2, gpus=2)
    bench.lab.autoscale("big")
    bench.reconcile()
    (workload,) = bench.rows("workloads")
    assert workload["spec"]["gpus_per_replica"] == 2
    bench.decide("big", 6, current_replicas=2)
    bench.reconcile()
    assert bench.lab.replicas("big") == 3
    bench.step()
    assert status(bench, "hopper")["usedGpus"] == 6
    resolved = bench.lab.condition("big", "TargetResolved")
    assert (resolved["status"], resolved["reason"]) == ("True", "CountedOtherwise")
    assert "set gpusPerReplica: 2" in resolved["message"]
    bench.lab.change("big", {"gpusPerReplica": 2})
    bench.reconcile()
    assert bench.lab.condition("big", "TargetResolved")["reason"] == "TargetFound"


def test_a_type_in_another_spelling_is_under_the_budget_of_its_gpus(
    bench: Bench, write: Write
) -> None:
    write("hopper", "H100", 4)
    bench.lab.deploy("small", replicas=2)
    bench.lab.autoscale("small", gpuType="h100")
    bench.reconcile()
    (workload,) = bench.rows("workloads")
    assert workload["spec"]["gpu_type"] == "H100"
    bench.decide("small", 8, current_replicas=2)
    bench.reconcile()
    assert bench.lab.replicas("small") == 4
    bench.lab.fault(kind="forbidden", verb="list", resource="gpubudgets")
    bench.reconcile()
    (workload,) = bench.rows("workloads")
    assert workload["spec"]["gpu_type"] == "H100", "what was known of budgets is kept"
