"""What became of a scaling whose operator was interrupted, by the counts that its targets have."""

from __future__ import annotations

from typing import Any

import pytest

from services.kernel.clock import FixedClock
from services.kernel.settings import Settings
from services.operator.cluster.free_gpus import FreeGpus
from services.operator.cluster.ownership import PodIndex
from services.operator.kube.client import Scale
from services.operator.reconcile.find_targets import Targets
from services.operator.reconcile.intents import resolve_intent, resolve_intents, with_results
from services.operator.reconcile.memory import OperatorDeps
from services.operator.reconcile.observe import View
from services.operator.resource.translate import to_autoscaler
from services.operator.wire.http import KubeError
from tests.unit.operator.examples import NOW, decision, resource


def intent(*targets: tuple[str, int, int]) -> Any:
    return {
        "decision_id": 1,
        "attempt": 2,
        "origin_at": NOW,
        "workload_id": 1,
        "from_replicas": sum(each[1] for each in targets),
        "to_replicas": sum(each[2] for each in targets),
        "targets": [
            {
                "name": name,
                "target": f"llama-{name}",
                "from": old,
                "to": new,
                "ratio": 1.0,
                "version": "7",
            }
            for name, old, new in targets
        ],
    }


def scale(count: int | None, version: str = "7") -> Scale | None:
    return None if count is None else Scale(count, version)


@pytest.mark.parametrize(
    ("count", "rival", "result", "after"),
    [
        (5, "", "applied", 5),
        (3, "", "failed", 5),
        (7, "", "unknown", 7),
        (0, "", "unknown", 0),
        (None, "", "unknown", 5),
        (5, "HorizontalPodAutoscaler/other", "unknown", 5),
        (3, "HorizontalPodAutoscaler/other", "failed", 5),
    ],
)
def test_one_target(count: int | None, rival: str, result: str, after: int) -> None:
    found = resolve_intent(intent(("", 3, 5)), [scale(count)], rival)
    assert (found.result, found.to_replicas) == (result, after)
    assert "llama-" in found.reason


@pytest.mark.parametrize(
    ("counts", "result", "after"),
    [
        ((3, 2), "applied", 5),
        ((3, 4), "applied", 7),
        ((2, 2), "failed", 7),
        ((3, 9), "unknown", 12),
        ((3, None), "unknown", 7),
    ],
)
def test_several_targets(counts: tuple[int | None, ...], result: str, after: int) -> None:
    found = resolve_intent(intent(("prefill", 2, 3), ("decode", 2, 4)), [*map(scale, counts)])
    assert (found.result, found.to_replicas) == (result, after)


def test_the_row_is_that_of_the_action_announced() -> None:
    found = resolve_intent(intent(("", 3, 5)), [scale(5)])
    assert found.to_row(NOW)[:7] == (NOW, 1, 1, 2, 3, 5, "applied")


@pytest.mark.parametrize(
    ("targets", "counts", "made"),
    [
        ((("prefill", 2, 3), ("decode", 2, 4)), (3, 2), ["prefill"]),
        ((("prefill", 2, 3), ("decode", 2, 4)), (2, 2), []),
        ((("prefill", 2, 3), ("decode", 2, 4)), (3, 9), ["prefill", "decode"]),
        ((("", 3, 5),), (1,), [""]),
        ((("", 3, 5),), (5,), [""]),
    ],
)
def test_it_tells_what_may_have_been_made_of_each_target(
    targets: tuple[tuple[str, int, int], ...], counts: tuple[int, ...], made: list[str]
) -> None:
    """As it was announced, for what was found may be another hand's."""
    parts = resolve_intent(intent(*targets), [*map(scale, counts)]).parts
    expected = [(name, old, new, False) for name, old, new in targets if name in made]
    assert [(p.name, p.before, p.after, p.is_sure) for p in parts] == expected


def test_an_old_count_of_a_new_version_may_have_been_patched_and_set_back() -> None:
    found = resolve_intent(intent(("", 3, 5)), [scale(3, "8")])
    assert (found.result, found.to_replicas) == ("unknown", 3)
    assert [(p.before, p.after) for p in found.parts] == [(3, 5)]
    both = intent(("prefill", 2, 3), ("decode", 2, 4))
    found = resolve_intent(both, [scale(3, "8"), scale(2, "8")])
    assert (found.result, found.to_replicas) == ("applied", 5)
    assert [part.name for part in found.parts] == ["prefill", "decode"]
    former = intent(("", 3, 5))
    former["targets"][0].pop("version")
    assert resolve_intent(former, [scale(3, "8")]).result == "failed"


def test_the_newest_decision_knows_its_result_and_another_does_not() -> None:
    resolved = [resolve_intent(intent(("", 3, 5)), [scale(5)])]
    newest = {1: decision(1)}
    (action,) = with_results(newest, resolved)
    assert (action.result, newest[1].last_result) == ("applied", "applied")
    newest = {1: decision(8)}
    assert with_results(newest, resolved) == []
    assert newest[1].last_result == ""


class SilentKube:
    """An API server that does not answer in time."""

    def get_scale(self, target: Any) -> Scale:
        raise KubeError(0, "ReadTimeoutError", "no answer in time")


def resolved(api_version: str, kind: str) -> list[Any]:
    row = intent(("", 3, 5))
    row["targets"][0] |= {"api_version": api_version, "kind": kind}
    autoscaler = to_autoscaler(resource(), {})
    view = View([autoscaler], [None], Targets(), PodIndex(), set(), FreeGpus(()), {})  # type: ignore[arg-type]
    deps = OperatorDeps(None, SilentKube(), FixedClock(NOW), Settings())  # type: ignore[arg-type]
    return resolve_intents([row], deps, view, {autoscaler.key: 1})  # type: ignore[list-item]


def test_a_custom_kind_that_does_not_answer_leaves_no_pass_waiting_for_it() -> None:
    """What converts its objects may be dead for days; all other workloads would wait for it."""
    (found,) = resolved("example.dev/v1", "Pool")
    assert (found.result, found.to_replicas) == ("unknown", 5)
    with pytest.raises(KubeError):
        resolved("apps/v1", "Deployment")
