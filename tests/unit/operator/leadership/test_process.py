"""The part of the process in an election, and its health for the probes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from services.kernel.errors import ConfigurationError
from services.kernel.settings import Settings
from services.operator.leadership.process import (
    LoopHealth,
    has_election,
    make_election,
    pod_namespace,
)


@pytest.mark.parametrize(
    ("election", "kube_url", "namespace", "expected"),
    [
        ("auto", "", "harmony", True),
        ("auto", "", "", False),
        ("auto", "http://127.0.0.1:1", "harmony", False),
        ("on", "http://127.0.0.1:1", "", True),
        ("off", "", "harmony", False),
    ],
)
def test_there_is_an_election_in_a_cluster_unless_it_is_set(
    election: Any, kube_url: str, namespace: str, expected: bool
) -> None:
    settings = Settings(leader_election=election, kube_url=kube_url)
    assert has_election(settings, namespace) is expected


def test_an_operator_leads_while_it_has_the_lease_or_needs_none() -> None:
    settings = Settings(leader_election="off", kube_url="http://127.0.0.1:1")
    assert make_election(settings, client.Configuration(), "").is_leading
    settings = Settings(leader_election="on", lease_namespace="a", kube_url="http://127.0.0.1:1")
    assert not make_election(settings, client.Configuration(), "").is_leading


def test_the_namespace_is_the_pods_own(tmp_path: Path) -> None:
    file = tmp_path / "namespace"
    assert pod_namespace(file) == ""
    file.write_text("harmony-system\n")
    assert pod_namespace(file) == "harmony-system"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "HARMONY_LEASE_NAMESPACE"),
        ({"lease_namespace": "a", "lease_renew_deadline_s": 20.0}, "HARMONY_LEASE_"),
    ],
)
def test_an_election_that_cannot_work_is_refused(changes: dict[str, Any], words: str) -> None:
    settings = Settings(leader_election="on", kube_url="http://127.0.0.1:1", **changes)
    with pytest.raises(ConfigurationError, match=words):
        make_election(settings, client.Configuration(), "")


def test_a_loop_that_does_not_turn_is_not_alive() -> None:
    health = LoopHealth(turned_at_s=100.0)
    assert health.alive(now_s=405.0, interval_s=5.0) == ""
    assert "has not turned for 306 s" in health.alive(now_s=406.0, interval_s=5.0)


def test_ready_is_who_has_passed_and_says_what_is_wrong_else() -> None:
    health = LoopHealth(turned_at_s=0.0, is_leading=True)
    assert health.ready(0.0, None) == "no pass has been completed yet"
    health.has_passed = True
    assert health.ready(0.0, None) == ""
    health.problem = "database: away"
    assert health.ready(0.0, None) == "database: away"
