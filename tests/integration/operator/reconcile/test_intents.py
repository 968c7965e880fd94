"""An operator that ends between an intent, its patch and its action loses and doubles nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from services.decision.rows import repository as decision_repository
from services.operator.kube.client import KubeClient, Scale
from services.operator.reconcile import decision_pass, reconcile_pass
from services.operator.reconcile.intents import store_results
from services.operator.resource.autoscaler import ScaleTarget
from services.operator.wire.http import KubeError
from tests.integration.operator.conftest import Bench
from tests.integration.operator.reconcile import pools
from tests.integration.operator.reconcile.test_apply_parts import reference

pytestmark = pytest.mark.integration

ONE_POD = {
    "scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]},
}
Kill = Callable[..., None]


class Killed(BaseException):
    """The end of the process: no handler of the operator sees it."""


def ready(bench: Bench, **spec: Any) -> None:
    bench.lab.deploy("llama", replicas=3)
    bench.lab.autoscale("llama", **spec)
    bench.reconcile()


@pytest.fixture
def kill(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Kill:
    """Run a pass that ends at its `nth` patch, before it or after it; then a new operator."""

    def run(nth: int = 1, *, after: bool) -> None:
        n_patches = 0
        patch = KubeClient.patch_scale

        def die(self: KubeClient, *args: Any) -> Any:
            nonlocal n_patches
            n_patches += 1
            if n_patches == nth and not after:
                raise Killed
            answer = patch(self, *args)
            if n_patches == nth:
                raise Killed
            return answer

        with monkeypatch.context() as patched:
            patched.setattr(KubeClient, "patch_scale", die)
            with pytest.raises(Killed):
                bench.reconcile()
        bench.fresh_operator()

    return run


def changes(bench: Bench) -> list[int]:
    """Changes that the rate limits of a decision count now."""
    now = bench.clock.now()
    ids = [row["id"] for row in bench.rows("workloads")]
    with bench.engine.connect() as connection:
        rows = decision_repository.load_changes(connection, ids, now - timedelta(hours=1), now)
    return [row["to_replicas"] - row["from_replicas"] for row in rows]


def actions(bench: Bench) -> list[tuple[str, int, int]]:
    rows = sorted(bench.rows("actions"), key=lambda row: row["id"])
    return [(row["result"], row["from_replicas"], row["to_replicas"]) for row in rows]


def test_killed_between_patch_and_row_the_successor_records_the_scaling(
    bench: Bench, kill: Kill
) -> None:
    ready(bench)
    bench.decide("llama", 4, current_replicas=3)
    kill(after=True)
    assert bench.lab.replicas("llama") == 4
    assert actions(bench) == []  # its readers see a row when it is known what happened
    assert changes(bench) == [1]  # and yet the rate limits count it
    bench.reconcile()
    assert actions(bench) == [("applied", 3, 4)]
    assert "interrupted" in bench.rows("actions")[0]["reason"]
    assert changes(bench) == [1]
    assert bench.rows("intents") == []


def test_no_transaction_is_open_while_the_api_server_is_asked_what_became_of_an_intent(
    bench: Bench, kill: Kill, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready(bench)
    bench.decide("llama", 4, current_replicas=3)
    kill(after=True)
    n_open: list[int] = []
    query = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND state = 'idle in transaction'"
    )
    get = KubeClient.get_scale

    def asked(self: KubeClient, target: ScaleTarget) -> Scale:
        with bench.engine.connect() as connection:
            n_open.append(connection.execute(query).scalar_one())
        return get(self, target)

    monkeypatch.setattr(KubeClient, "get_scale", asked)
    bench.reconcile()
    assert n_open == [0]
    assert actions(bench) == [("applied", 3, 4)]


def test_killed_between_intent_and_patch_the_decision_is_applied_once(
    bench: Bench, kill: Kill
) -> None:
    ready(bench)
    bench.decide("llama", 4, current_replicas=3)
    kill(after=False)
    assert len(bench.rows("intents")) == 1
    assert changes(bench) == [1]
    bench.reconcile()
    assert actions(bench) == [("failed", 3, 4), ("applied", 3, 4)]
    assert changes(bench) == [1]
    assert bench.lab.replicas("llama") == 4


def test_what_another_hand_set_since_is_unknown(bench: Bench, kill: Kill) -> None:
    ready(bench)
    bench.decide("llama", 4, current_replicas=3)
    kill(after=True)
    bench.lab.scale("llama", 6)
    bench.reconcile()
    assert actions(bench) == [("unknown", 3, 6)]
    assert "neither" in bench.rows("actions")[0]["reason"]
    assert changes(bench) == [3]
    assert bench.lab.replicas("llama") == 6


def test_where_another_autoscaler_scales_it_too_nobody_knows_who_did(
    bench: Bench, kill: Kill
) -> None:
    ready(bench)
    bench.decide("llama", 4, current_replicas=3)
    kill(after=True)
    spec = {"scaleTargetRef": reference("llama"), "minReplicas": 1, "maxReplicas": 9}
    where = f"/apis/autoscaling/v2/namespaces/{bench.lab.namespace}/horizontalpodautoscalers"
    bench.lab.post(where, {"metadata": {"name": "other"}, "spec": spec})
    bench.reconcile()
    assert actions(bench) == [("unknown", 3, 4)]


def test_a_target_that_is_gone_is_unknown(bench: Bench, kill: Kill) -> None:
    ready(bench)
    bench.decide("llama", 4, current_replicas=3)
    kill(after=True)
    path = f"/apis/apps/v1/namespaces/{bench.lab.namespace}/deployments/llama"
    assert bench.lab.http.delete(path).status_code == 200
    bench.reconcile()
    assert actions(bench) == [("unknown", 3, 4)]
    assert bench.rows("intents") == []


def test_an_api_server_that_goes_away_leaves_the_intent_until_it_is_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready(bench)
    bench.decide("llama", 4, current_replicas=3)
    patch = KubeClient.patch_scale

    def broken(self: KubeClient, *args: Any) -> Any:
        patch(self, *args)
        raise KubeError(0, "ReadTimeout", "no answer")

    def away(*_: Any) -> Any:
        raise KubeError(0, "NewConnectionError", "refused")

    with monkeypatch.context() as patched:
        patched.setattr(KubeClient, "patch_scale", broken)
        patched.setattr(KubeClient, "get_scale", away)
        bench.reconcile()
        assert (actions(bench), changes(bench)) == ([], [1])
        with pytest.raises(KubeError):
            bench.reconcile()
    bench.deps.memory.forget()
    bench.reconcile()
    assert actions(bench) == [("applied", 3, 4)]
    assert bench.lab.autoscaler("llama")["status"]["lastDecision"]["result"] == "applied"


def test_a_rate_limit_counts_what_its_decision_could_not_know(bench: Bench, kill: Kill) -> None:
    """Two decisions of one pod a minute each, made before either was applied."""
    ready(bench, behavior=ONE_POD)
    bench.decide("llama", 4, current_replicas=3)
    kill(after=True)
    bench.decide("llama", 5, current_replicas=4)
    bench.reconcile()
    assert bench.lab.replicas("llama") == 4
    assert [row[0] for row in actions(bench)] == ["applied", "waiting"]
    assert "rate limit" in bench.rows("actions")[-1]["reason"]
    bench.reconcile()
    assert len(actions(bench)) == 2  # it waits without a row at each pass
    bench.clock.advance(61)
    bench.lab.advance(bench.clock.now())
    bench.reconcile()
    assert bench.lab.replicas("llama") == 5
    assert actions(bench)[-1] == ("applied", 4, 5)


def test_one_of_two_pools_was_patched(bench: Bench, kill: Kill) -> None:
    pools.deploy(bench.lab)
    pools.autoscale(bench.lab)
    bench.reconcile()
    wanted = [
        {"name": "prefill", "gpu_type": "H100", "current": 2, "desired": 3, "raw": 3},
        {"name": "decode", "gpu_type": "H100", "current": 2, "desired": 4, "raw": 4},
    ]
    bench.decide("llama", 7, current_replicas=4, variants=_json(wanted))
    kill(nth=2, after=False)
    assert pools.replicas(bench) == (3, 2)
    (intent,) = bench.rows("intents")
    assert [(each["name"], each["to"]) for each in intent["targets"]] == [
        ("prefill", 3),
        ("decode", 4),
    ]
    bench.reconcile()
    assert actions(bench) == [("applied", 4, 5)]
    assert "decode" in bench.rows("actions")[0]["reason"]


def _json(value: Any) -> str:
    import json

    return json.dumps(value)


def test_a_leader_that_was_too_slow_patches_nothing_and_records_nothing_twice(
    bench: Bench,
) -> None:
    """Between the old leader's intent and its patch another one leads, resolves and applies."""
    ready(bench)
    bench.decide("llama", 4, current_replicas=3)
    old = bench.deps
    bench.fresh_operator()
    new = bench.deps
    patch = old.kube.patch_scale

    class Slow(KubeClient):
        def patch_scale(self, *args: Any) -> Any:
            reconcile_pass.reconcile_pass(new, bench.clock.now())
            return patch(*args)

    reconcile_pass.reconcile_pass(replace(old, kube=Slow(bench.http)), bench.clock.now())
    assert bench.lab.replicas("llama") == 4
    assert [row[0] for row in actions(bench)].count("applied") == 1
    assert bench.rows("intents") == []
    assert changes(bench) == [1]


def test_a_decision_pass_leaves_a_decision_with_an_open_intent_alone(
    bench: Bench, mirrored: Any, kill: Kill
) -> None:
    ready(bench)
    fleet = bench.reconcile().fleet
    bench.decide("llama", 4, current_replicas=3)
    kill(after=True)
    assert decision_pass.decision_pass(bench.deps, fleet, bench.clock.now()) == []
    assert actions(bench) == []


def test_a_pass_writes_all_intents_at_once_and_a_quiet_one_none(bench: Bench) -> None:
    from sqlalchemy import event

    for name in ("a", "b", "c"):
        bench.lab.deploy(name, replicas=1)
        bench.lab.autoscale(name)
    bench.reconcile()
    for name in ("a", "b", "c"):
        bench.decide(name, 2, current_replicas=1)
    seen: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if " intents " in statement:
            seen.append(statement.split()[0])

    event.listen(bench.engine, "before_cursor_execute", note)
    bench.reconcile()
    assert [verb for verb in seen if verb != "SELECT"] == ["INSERT", "DELETE"]
    seen.clear()
    bench.reconcile()
    event.remove(bench.engine, "before_cursor_execute", note)
    assert all(verb == "SELECT" for verb in seen)


def test_a_pass_that_was_held_up_does_not_speak_for_another_leaders_scaling(
    bench: Bench, kill: Kill
) -> None:
    """Its row would take the place of the scaling's own record, and the decision be tried again."""
    ready(bench)
    decision_id = bench.decide("llama", desired=5)
    kill(after=True)
    origin_at, workload_id = bench.rows("decisions")[0]["origin_at"], bench.workload_id("llama")
    waiting = (origin_at, decision_id, workload_id, 1, 3, 3, "waiting", "", bench.clock.now())
    with bench.engine.begin() as connection:
        store_results(connection, [waiting], [])
    bench.reconcile()
    assert actions(bench) == [("applied", 3, 5)]


def test_a_pass_whose_leadership_has_ended_says_nothing(bench: Bench) -> None:
    ready(bench)
    bench.decide("llama", desired=3)
    bench.deps = replace(bench.deps, may_write=iter([True, False, False, False]).__next__)
    bench.reconcile()
    assert bench.rows("actions") == []


def test_a_scaling_from_where_another_hand_left_the_target_is_announced_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after its patch, it is recorded from where it began, and counts so for rates."""
    ready(bench)
    bench.decide("llama", desired=5)
    patch, attempts = KubeClient.patch_scale, []

    def meet_a_conflict_then_die(self: KubeClient, *args: Any) -> Any:
        attempts.append(args)
        if len(attempts) == 1:
            bench.lab.scale("llama", 1)
        answer = patch(self, *args)
        raise Killed(answer)

    with monkeypatch.context() as patched:
        patched.setattr(KubeClient, "patch_scale", meet_a_conflict_then_die)
        with pytest.raises(Killed):
            bench.reconcile()
    assert len(attempts) == 2
    bench.fresh_operator()
    bench.reconcile()
    assert actions(bench) == [("applied", 1, 5)]


@pytest.fixture
def stall(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let the list of Deployments stay as it is now."""

    def run() -> None:
        old, list_objects = bench.deps.kube.list_objects("Deployment"), KubeClient.list_objects
        monkeypatch.setattr(
            KubeClient,
            "list_objects",
            lambda kube, kind: old if kind == "Deployment" else list_objects(kube, kind),
        )

    return run


def test_what_a_patch_left_is_not_announced_again_from_an_old_list(
    bench: Bench, stall: Callable[[], None]
) -> None:
    ready(bench)
    stall()
    bench.decide("llama", 4, current_replicas=3)
    bench.reconcile()
    bench.decide("llama", 4, current_replicas=3)
    bench.reconcile()
    bench.decide("llama", 5, current_replicas=3)
    bench.reconcile()
    assert actions(bench) == [("applied", 3, 4), ("unchanged", 4, 4), ("applied", 4, 5)]


def test_what_a_successor_found_is_not_announced_again_from_an_old_list(
    bench: Bench, kill: Kill, stall: Callable[[], None]
) -> None:
    ready(bench)
    stall()
    bench.decide("llama", 4, current_replicas=3)
    kill(after=True)
    bench.decide("llama", 4, current_replicas=3)
    bench.reconcile()
    assert actions(bench) == [("applied", 3, 4), ("unchanged", 4, 4)]
