"""Hard budgets and rate limits at the patch, on the simulated cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from services.kernel.db.clusters import set_total
from services.operator.reconcile.decision_pass import decision_pass
from services.operator.reconcile.gpu_use import LEFT_BEHIND_FOR
from services.operator.resource.translate import to_autoscaler
from services.operator.wire.http import KubeError
from tests.integration.operator.conftest import GROUP_PATH, Bench, Lab
from tests.integration.operator.reconcile import pools
from tests.integration.operator.reconcile.test_apply_parts import reference

pytestmark = pytest.mark.integration

BUDGETS = f"{GROUP_PATH}/gpubudgets"
BAD: dict[str, Any] = {"sla": {"class": "none-such", "risk": None}}


@pytest.fixture(autouse=True)
def budget(lab: Lab) -> Iterator[None]:
    """Eight H100."""
    body = {"metadata": {"name": "hopper"}, "spec": {"gpuType": "H100", "gpus": 8}}
    lab.post(BUDGETS, body | {"apiVersion": "scaling.harmony.dev/v1alpha1", "kind": "GPUBudget"})
    yield
    assert lab.http.delete(BUDGETS).status_code == 200


def deploy(bench: Bench, **replicas: int) -> None:
    for name, count in replicas.items():
        bench.lab.deploy(name, replicas=count)
        bench.lab.autoscale(name)
    bench.reconcile()


def in_use(bench: Bench, *names: str) -> int:
    """GPUs of one each that targets ask for or pods still hold."""
    return sum(max(bench.lab.replicas(name), len(bench.lab.pods(name))) for name in names)


def results(bench: Bench, name: str) -> list[str]:
    id_ = bench.workload_id(name)
    rows = sorted(bench.rows("actions"), key=lambda row: row["id"])
    return [row["result"] for row in rows if row["workload_id"] == id_]


def test_a_rise_waits_until_the_pods_of_a_fall_are_gone(bench: Bench) -> None:
    deploy(bench, a=2, b=6)
    bench.decide("a", 5)
    bench.decide("b", 3, current_replicas=6, direction="down")
    bench.reconcile()
    assert (bench.lab.replicas("a"), bench.lab.replicas("b")) == (2, 3)
    assert (results(bench, "a"), results(bench, "b")) == (["waiting"], ["applied"])
    reason = next(r["reason"] for r in bench.rows("actions") if r["result"] == "waiting")
    assert "8 GPUs of H100 are allowed" in reason
    most = 0
    for _ in range(60):
        bench.clock.advance(1)
        bench.lab.advance(bench.clock.now())
        bench.reconcile()
        most = max(most, in_use(bench, "a", "b"))
        if bench.lab.replicas("a") == 5:
            break
    assert bench.lab.replicas("a") == 5
    assert results(bench, "a") == ["waiting", "applied"]
    assert most <= 8


def test_falls_go_first_whatever_the_order_of_the_workloads(bench: Bench) -> None:
    deploy(bench, a=2, b=5)
    bench.decide("a", 3)
    bench.decide("b", 2, current_replicas=5, direction="down")
    bench.lab.http.delete("/lab/requests")
    bench.reconcile()
    rows = sorted(bench.rows("actions"), key=lambda row: row["id"])
    assert [row["result"] for row in rows] == ["applied", "applied"]
    assert (bench.lab.replicas("a"), bench.lab.replicas("b")) == (3, 2)


def test_what_never_will_fit_takes_what_is_free(bench: Bench) -> None:
    """Another shard may have taken the rest, or a person scaled a target by hand."""
    deploy(bench, a=2, b=4)
    bench.lab.scale("b", 5)
    bench.decide("a", 5)
    bench.reconcile()
    assert bench.lab.replicas("a") == 3
    (action,) = bench.rows("actions")
    assert (action["result"], action["from_replicas"], action["to_replicas"]) == ("applied", 2, 3)
    assert "3 of 5" in action["reason"]


def test_what_was_approved_is_checked_like_what_is_decided(bench: Bench) -> None:
    """A wish holds nothing, so others may have been granted the GPUs since."""
    deploy(bench, a=2, b=2)
    bench.lab.change("a", {"mode": "Approval"})
    decision = bench.decide("a", 7)
    bench.reconcile()
    bench.lab.scale("b", 4)
    bench.lab.annotate("a", {"scaling.harmony.dev/approved-decision": str(decision)})
    bench.reconcile()
    assert results(bench, "a") == ["awaiting_approval", "applied"]
    assert (bench.lab.replicas("a"), bench.lab.replicas("b")) == (4, 4)


def hold_part(bench: Bench, total: int, part: int | None) -> None:
    """Of a total over the cells this one has a part; None: it has none yet."""
    with bench.deps.engine.begin() as connection:
        set_total(connection, "H100", total, bench.clock.now())
        if part is not None:
            connection.execute(
                text(
                    "INSERT INTO cell_budgets (cluster_id, gpu_type, gpus, held_gpus, "
                    "exchanged_at) VALUES (1, 'H100', :part, 0, :now)"
                ),
                {"part": part, "now": bench.clock.now()},
            )


def test_a_part_of_a_total_is_held_at_the_patch(bench: Bench) -> None:
    """A decision may be older than the exchange that lowered the part."""
    deploy(bench, a=2, b=2)
    hold_part(bench, total=20, part=5)
    bench.decide("a", 5)
    bench.reconcile()
    assert (bench.lab.replicas("a"), bench.lab.replicas("b")) == (3, 2)
    (action,) = bench.rows("actions")
    assert "5 GPUs of H100 are allowed" in action["reason"]


def test_a_total_without_a_part_yet_adds_nothing_and_takes_nothing_away(bench: Bench) -> None:
    deploy(bench, a=2, b=2)
    hold_part(bench, total=20, part=None)
    bench.decide("a", 5)
    bench.decide("b", 1, current_replicas=2, direction="down")
    bench.reconcile()
    assert (bench.lab.replicas("a"), bench.lab.replicas("b")) == (2, 1)


def test_a_budget_that_cannot_be_listed_holds_as_it_was_read_last(bench: Bench) -> None:
    deploy(bench, a=2, b=6)
    bench.decide("a", 5)
    listed = bench.deps.kube.list_objects

    def refuse(kind: str) -> list[Any]:
        if kind == "GPUBudget":
            raise KubeError(403, "Forbidden", "gpubudgets is forbidden")
        return listed(kind)

    bench.deps.kube.list_objects = refuse  # type: ignore[method-assign]
    bench.reconcile()
    assert bench.lab.replicas("a") == 2
    bench.clock.advance(bench.step_s * (bench.deps.settings.stale_after_steps + 1))
    bench.decide("a", 5)
    bench.decide("b", 5, current_replicas=6, direction="down")
    bench.reconcile()
    assert (bench.lab.replicas("a"), bench.lab.replicas("b")) == (2, 5)
    reason = bench.rows("actions")[-1]["reason"]
    assert any("cannot be read" in row["reason"] for row in bench.rows("actions")), reason


def without_stateful_sets(bench: Bench) -> None:
    listed = bench.deps.kube.list_objects

    def refuse(kind: str) -> list[Any]:
        if kind == "StatefulSet":
            raise KubeError(403, "Forbidden", "statefulsets is forbidden")
        return listed(kind)

    bench.deps.kube.list_objects = refuse  # type: ignore[method-assign]


def test_what_cannot_be_read_and_was_never_decided_on_holds_what_was_seen(bench: Bench) -> None:
    bench.lab.deploy("shards", replicas=5, kind="StatefulSet")
    bench.lab.autoscale("shards", scaleTargetRef={"kind": "StatefulSet", "name": "shards"})
    deploy(bench, a=2)
    without_stateful_sets(bench)
    bench.fresh_operator()
    bench.decide("a", 6)
    bench.reconcile()
    assert bench.lab.replicas("a") == 3


def test_pods_that_were_leaving_when_a_target_was_seen_last_hold_their_gpus(bench: Bench) -> None:
    bench.lab.deploy("shards", replicas=5, kind="StatefulSet")
    bench.lab.autoscale("shards", scaleTargetRef={"kind": "StatefulSet", "name": "shards"})
    deploy(bench, a=2)
    bench.lab.patch("apps/v1/statefulsets/shards", {"spec": {"replicas": 3}})
    bench.clock.advance(20)
    bench.reconcile()
    without_stateful_sets(bench)
    bench.fresh_operator()
    bench.decide("a", 6)
    bench.reconcile()
    assert bench.lab.replicas("a") == 3


def test_a_pool_that_cannot_be_read_holds_what_was_seen_of_it(bench: Bench) -> None:
    """Also after states that have the other pool alone."""
    bench.lab.deploy("llama-prefill", replicas=1)
    bench.lab.deploy("llama-decode", replicas=4, kind="StatefulSet")
    target = {"kind": "StatefulSet", "name": "llama-decode"}
    pools.autoscale(bench.lab, pools=[pools.PREFILL, pools.DECODE | {"scaleTargetRef": target}])
    deploy(bench, a=2)
    without_stateful_sets(bench)
    bench.step()
    seen = max(bench.rows("replica_states"), key=lambda row: row["observed_at"])
    assert seen["variants"] is None or set(seen["variants"]) == {"prefill"}
    bench.fresh_operator()
    bench.decide("a", 6)
    bench.reconcile()
    assert bench.lab.replicas("a") == 3


def test_pools_of_one_type_exchange_within_the_budget(bench: Bench) -> None:
    pools.deploy(bench.lab, prefill=5, decode=3)
    pools.autoscale(bench.lab)
    bench.reconcile()
    wanted = [
        {"name": "prefill", "gpu_type": "H100", "current": 5, "desired": 3, "raw": 3},
        {"name": "decode", "gpu_type": "H100", "current": 3, "desired": 5, "raw": 5},
    ]
    bench.decide("llama", 8, current_replicas=8, variants=json.dumps(wanted))
    bench.reconcile()
    assert pools.replicas(bench) == (3, 3)
    (action,) = bench.rows("actions")
    assert action["result"] == "applied"
    assert "decode" in action["reason"]


def test_the_rate_of_a_pool_counts_what_was_made_of_it(bench: Bench) -> None:
    """A rise of three was asked for and one was made: a fall has no room by the other two."""
    pools.deploy(bench.lab, prefill=2, decode=4)
    one = {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}
    pools.autoscale(bench.lab, behavior={"scaleUp": one, "scaleDown": one})
    bench.reconcile()

    def decide(current: int, desired: int) -> None:
        wanted = [
            {"name": "prefill", "gpu_type": "H100", "current": 2, "desired": 2, "raw": 2},
            {"name": "decode", "gpu_type": "H100", "current": current, "desired": desired},
        ]
        counts = {"current_replicas": 2 + current, "variants": json.dumps(wanted)}
        bench.decide("llama", 2 + desired, **counts)
        bench.reconcile()

    decide(4, 7)
    assert pools.replicas(bench) == (2, 5)
    (action,) = bench.rows("actions")
    part = {"name": "decode", "from": 4, "to": 5, "ratio": 1.0, "is_sure": True}
    assert action["parts"] == [part]
    bench.clock.advance(20)
    bench.lab.advance(bench.clock.now())
    decide(5, 1)
    assert pools.replicas(bench) == (2, 3)


def test_decision_passes_see_what_the_others_raised(bench: Bench, mirrored: Any) -> None:
    deploy(bench, a=2, b=2)
    fleet = bench.reconcile().fleet
    bench.decide("a", 5)
    decision_pass(bench.deps, fleet, bench.clock.now())
    bench.decide("b", 5)
    decision_pass(bench.deps, fleet, bench.clock.now())
    assert bench.lab.replicas("a") == 5
    assert bench.lab.replicas("b") == 3
    assert in_use(bench, "a", "b") <= 8


def test_a_spec_that_went_bad_holds_its_gpus(bench: Bench) -> None:
    deploy(bench, a=2, b=5)
    bench.decide("b", 5, current_replicas=5)
    bench.reconcile()
    bench.lab.change("b", BAD)
    bench.decide("a", 6)
    bench.reconcile()
    assert bench.lab.replicas("a") == 3


def test_pools_of_a_spec_that_went_bad_are_seen(bench: Bench) -> None:
    """What another hand adds to them holds GPUs, whatever was decided for them."""
    pools.deploy(bench.lab, prefill=1, decode=1)
    pools.autoscale(bench.lab)
    deploy(bench, a=2)
    bench.reconcile()
    bench.lab.change("llama", BAD)
    bench.lab.scale("llama-decode", 4)
    bench.lab.advance(bench.clock.now())
    bench.fresh_operator()
    bench.decide("a", 6)
    bench.reconcile()
    assert bench.lab.replicas("a") == 3


def test_pools_that_a_bad_spec_names_no_longer_are_seen(bench: Bench) -> None:
    pools.deploy(bench.lab, prefill=1, decode=1)
    pools.autoscale(bench.lab)
    deploy(bench, a=2)
    bench.reconcile()
    other = pools.DECODE | {"scaleTargetRef": reference("llama-other")}
    bench.lab.change("llama", BAD | {"pools": [pools.PREFILL, other]})
    bench.lab.scale("llama-decode", 4)
    bench.lab.advance(bench.clock.now())
    bench.decide("a", 6)
    bench.reconcile()
    assert bench.lab.replicas("a") == 3


def test_a_spec_that_was_mended_since_the_last_pass_is_no_room(bench: Bench, mirrored: Any) -> None:
    """What it is to rise to is not what it holds already."""
    pools.deploy(bench.lab, prefill=1, decode=1)
    pools.autoscale(bench.lab)
    deploy(bench, b=4)
    known = bench.reconcile().fleet
    llama = bench.lab.object(f"{GROUP_PATH.removeprefix('/apis/')}/gpuautoscalers/llama")
    bad = to_autoscaler(llama | {"spec": llama["spec"] | {"demand": "no_such_indicator"}}, {})
    assert bad.problem
    before = [bad if each.key == bad.key else each for each in known.view.autoscalers]
    fleet = replace(known, view=replace(known.view, autoscalers=before))
    wanted = [
        {"name": "prefill", "gpu_type": "H100", "current": 1, "desired": 5, "raw": 5},
        {"name": "decode", "gpu_type": "H100", "current": 1, "desired": 1, "raw": 1},
    ]
    bench.decide("llama", 5, current_replicas=1, variants=json.dumps(wanted))
    decision_pass(bench.deps, fleet, bench.clock.now())
    assert pools.replicas(bench) == (3, 1)


def test_targets_of_an_autoscaler_that_is_gone_hold_what_they_have(bench: Bench) -> None:
    """Objects that were deleted are made again one after the other, and their targets run on."""
    deploy(bench, a=2, b=6)
    for name in ("a", "b"):
        bench.lab.delete_autoscaler(name)
    bench.reconcile()
    bench.lab.autoscale("a")
    bench.reconcile()
    bench.decide("a", 5)
    bench.reconcile()
    assert (bench.lab.replicas("a"), results(bench, "a")) == (2, ["waiting"])


def test_what_came_back_with_a_bad_spec_and_went_again_holds_what_it_has(bench: Bench) -> None:
    """It was there until it went, however long nobody could use its spec."""
    deploy(bench, a=2, b=6)
    bench.lab.delete_autoscaler("b")
    bench.reconcile()
    bench.lab.autoscale("b", sla={"class": "none-such"})
    bench.reconcile()
    bench.clock.advance(LEFT_BEHIND_FOR.total_seconds() + 1)
    bench.reconcile()
    bench.lab.delete_autoscaler("b")
    bench.reconcile()
    bench.decide("a", 5)
    bench.reconcile()
    assert (bench.lab.replicas("a"), results(bench, "a")) == (2, ["waiting"])


def test_targets_of_an_autoscaler_that_was_taken_out_for_good_hold_nothing(bench: Bench) -> None:
    deploy(bench, a=2, b=6)
    bench.lab.delete_autoscaler("b")
    bench.reconcile()
    bench.clock.advance(LEFT_BEHIND_FOR.total_seconds() + 1)
    bench.decide("a", 5)
    bench.reconcile()
    assert bench.lab.replicas("a") == 5


def test_a_target_that_went_with_its_autoscaler_holds_nothing(bench: Bench) -> None:
    deploy(bench, a=2, b=6)
    bench.lab.delete_autoscaler("b")
    path = f"/apis/apps/v1/namespaces/{bench.lab.namespace}/deployments/b"
    assert bench.lab.http.delete(path).status_code == 200
    bench.reconcile()
    bench.decide("a", 5)
    bench.reconcile()
    assert bench.lab.replicas("a") == 5


def test_a_budget_that_was_deleted_holds_as_long_as_one_that_cannot_be_listed(
    bench: Bench,
) -> None:
    """A definition that is deleted and made again must not lift it for a moment."""
    deploy(bench, a=2, b=6)
    assert bench.lab.http.delete(BUDGETS).status_code == 200
    bench.reconcile()
    bench.decide("a", 5)
    bench.reconcile()
    assert bench.lab.replicas("a") == 2
    bench.clock.advance(bench.step_s * bench.deps.settings.stale_after_steps + 1)
    bench.decide("a", 5)
    bench.reconcile()
    assert bench.lab.replicas("a") == 5
