"""What `GET …/pause` says of who holds what until when, beside what the operator tells."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.integration.admin.app_client import AppClient
from tests.integration.operator.conftest import Bench
from tests.integration.operator.controls_api import patch_policy, workload

pytestmark = pytest.mark.integration

Ends = Mapping[str, tuple[str, int | None]]
"""By direction who holds it, and for how many hours; None: without an end."""


@pytest.fixture
def llama(bench: Bench) -> Bench:
    """An object that is there."""
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.reconcile()
    return bench


def hours(bench: Bench, n_hours: int) -> str:
    return (bench.clock.now() + timedelta(hours=n_hours)).strftime("%Y-%m-%dT%H:%M:%SZ")


def pause(bench: Bench, api: AppClient, **body: Any) -> None:
    assert api.request("PUT", workload(bench, "pause"), json=body).status_code == 200


def freeze(bench: Bench, api: AppClient, n_hours: int, **body: Any) -> None:
    made = {"namespace": bench.lab.namespace, "until_at": hours(bench, n_hours)} | body
    answer = api.post("/v1/freezes", json=made)
    assert answer.status_code == 201, answer.text


def ends(bench: Bench, api: AppClient) -> Ends:
    """As one answer and as a list say it."""
    one = api.get(workload(bench, "pause")).json()
    listed = api.get("/v1/pauses").json()["items"]
    assert listed in ([], [one])
    now = bench.clock.now()

    def left(until: str | None) -> int | None:
        if until is None:
            return None
        return round((datetime.fromisoformat(until) - now) / timedelta(hours=1))

    return {h["direction"]: (h["source"], left(h["until_at"])) for h in one["held"]}


@pytest.mark.parametrize(
    "scope",
    [{}, {"workload": "llama"}, {"namespace": None}],
    ids=["of the namespace", "of the workload", "of the fleet"],
)
def test_a_freeze_that_lasts_longer_than_a_pause_is_what_holds(
    llama: Bench, api: AppClient, scope: dict[str, Any]
) -> None:
    """Who read the end of the pause alone believed that scaling went on by then."""
    pause(llama, api, until_at=hours(llama, 1), reason="load test")
    freeze(llama, api, 5, **scope)
    for _ in range(2):  # before the operator has taken it over, and after
        assert ends(llama, api) == {"ScaleIn": ("freeze", 5), "ScaleOut": ("freeze", 5)}
        llama.reconcile()
    shown = api.get(workload(llama, "pause")).json()
    assert (shown["source"], shown["reason"]) == ("api", "load test")
    assert datetime.fromisoformat(shown["until_at"]) == datetime.fromisoformat(hours(llama, 1))
    told = llama.lab.condition("llama", "Paused")
    assert told["reason"] == "PausedByFreeze"
    assert hours(llama, 5) in told["message"]
    llama.clock.advance(2 * 3600)
    llama.reconcile()
    assert ends(llama, api) == {"ScaleIn": ("freeze", 3), "ScaleOut": ("freeze", 3)}


def test_each_direction_is_told_with_its_own_end(llama: Bench, api: AppClient) -> None:
    pause(llama, api, direction="ScaleOut", until_at=hours(llama, 2))
    freeze(llama, api, 5, direction="ScaleDown")
    llama.reconcile()
    assert ends(llama, api) == {"ScaleIn": ("freeze", 5), "ScaleOut": ("pause", 2)}


def test_a_freeze_that_begins_before_the_pause_is_over_goes_on_from_there(
    llama: Bench, api: AppClient
) -> None:
    pause(llama, api, until_at=hours(llama, 2))
    freeze(llama, api, 5, from_at=hours(llama, 1))
    freeze(llama, api, 9, from_at=hours(llama, 8))
    assert ends(llama, api) == {"ScaleIn": ("freeze", 5), "ScaleOut": ("freeze", 5)}


@pytest.mark.parametrize(
    ("annotations", "ends_by"),
    [
        ({"paused-until": 3}, {"ScaleIn": ("annotation", 3), "ScaleOut": ("annotation", 3)}),
        ({"paused-until": 1}, {"ScaleIn": ("pause", 2), "ScaleOut": ("pause", 2)}),
        ({"paused": "true"}, {"ScaleIn": ("annotation", None), "ScaleOut": ("annotation", None)}),
        ({"paused-scale-in": "true"}, {"ScaleIn": ("annotation", None), "ScaleOut": ("pause", 2)}),
    ],
)
def test_an_annotation_beside_a_pause_is_told_where_it_holds_longer(
    llama: Bench, api: AppClient, annotations: dict[str, Any], ends_by: Ends
) -> None:
    own = {
        f"scaling.harmony.dev/{name}": hours(llama, value) if isinstance(value, int) else value
        for name, value in annotations.items()
    }
    llama.lab.annotate("llama", own)
    llama.reconcile()
    pause(llama, api, until_at=hours(llama, 2))
    llama.reconcile()
    assert ends(llama, api) == ends_by


def test_of_an_annotation_and_a_pause_of_one_direction_the_annotation_stays(
    llama: Bench, api: AppClient
) -> None:
    """What is stored of the two is the same as of one of them."""
    llama.lab.annotate("llama", {"scaling.harmony.dev/paused-scale-in": "true"})
    pause(llama, api, direction="ScaleIn", until_at=hours(llama, 2))
    llama.reconcile()
    assert ends(llama, api) == {"ScaleIn": ("annotation", None)}
    assert patch_policy(llama, api, {"max_replicas": 4}).status_code == 200
    llama.reconcile()
    assert ends(llama, api) == {"ScaleIn": ("annotation", None)}
    llama.lab.annotate("llama", {"scaling.harmony.dev/paused-scale-in": None})
    llama.reconcile()
    assert ends(llama, api) == {"ScaleIn": ("pause", 2)}


def test_a_schedule_that_freezes_is_told_with_the_end_of_its_window(
    llama: Bench, api: AppClient
) -> None:
    end = llama.clock.now() + timedelta(hours=4)
    window = {
        "name": "night",
        "start_time": "00:00",
        "end_time": end.strftime("%H:%M"),
        "freeze": "ScaleDown",
    }
    body, headers = {"schedules": [window]}, {"If-Match": "*"}
    answer = api.request("PUT", workload(llama, "schedules"), json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    llama.reconcile()
    assert ends(llama, api) == {"ScaleIn": ("schedule", 4)}
    (held,) = api.get(workload(llama, "pause")).json()["held"]
    assert (held["schedule"], held["freeze_id"]) == ("night", None)
    pause(llama, api, until_at=hours(llama, 2))
    llama.reconcile()
    assert ends(llama, api) == {"ScaleIn": ("schedule", 4), "ScaleOut": ("pause", 2)}


def test_what_was_read_may_be_sent_back(llama: Bench, api: AppClient) -> None:
    pause(llama, api, until_at=hours(llama, 2))
    freeze(llama, api, 5)
    llama.reconcile()
    read = api.get(workload(llama, "pause")).json()
    assert api.request("PUT", workload(llama, "pause"), json=read).json() == read
    answer = api.request("PUT", workload(llama, "pause"), json=read | {"held": []})
    assert answer.status_code == 422
    assert "held=[]: cannot be set here" in answer.json()["detail"]
    assert "DELETE /v1/freezes/" in answer.json()["detail"]
