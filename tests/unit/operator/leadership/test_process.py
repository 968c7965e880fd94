"""Whether there is an election, what the probes say, and the fence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from kubernetes import client

from services.kernel.errors import ConfigurationError
from services.kernel.settings import Settings
from services.operator.leadership.health import Checks, serve
from services.operator.leadership.lease import Fence
from services.operator.leadership.process import Pulse, is_elected, make_office, pod_namespace


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
    assert is_elected(settings, namespace) is expected


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
        make_office(settings, client.Configuration(), "")


class Terms:
    """Leadership that a test sets."""

    def __init__(self) -> None:
        self.now: int | None = 1

    def term(self) -> int | None:
        return self.now


def test_a_fence_is_open_in_the_term_that_was_entered_only() -> None:
    terms = Terms()
    fence = Fence(terms)
    assert not fence.is_open(), "nothing was entered"
    assert fence.enter() == 1
    assert fence.is_open()
    terms.now = None
    assert not fence.is_open()
    terms.now = 2
    assert not fence.is_open(), "it leads again, but the pass is of an earlier term"
    assert fence.enter() == 2
    fence.close()
    assert not fence.is_open()
    assert fence.enter() is None


def test_a_loop_that_does_not_turn_is_not_alive() -> None:
    pulse = Pulse(turned_at_s=100.0)
    assert pulse.alive(now_s=405.0, interval_s=5.0) == ""
    assert "has not turned for 306 s" in pulse.alive(now_s=406.0, interval_s=5.0)


def test_ready_is_who_has_passed_and_says_what_is_wrong_else() -> None:
    pulse = Pulse(turned_at_s=0.0, is_leading=True)
    assert pulse.ready(0.0, None) == "no pass has been completed yet"
    pulse.has_passed = True
    assert pulse.ready(0.0, None) == ""
    pulse.problem = "database: away"
    assert pulse.ready(0.0, None) == "database: away"


def test_probes_and_metrics_are_served() -> None:
    problems = {"ready": "database: away"}
    server = serve(0, Checks(lambda: "", lambda: problems["ready"]), "127.0.0.1")
    with httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}") as http:
        assert http.get("/healthz").status_code == 200
        answer = http.get("/readyz")
        assert (answer.status_code, answer.text) == (503, "database: away\n")
        problems["ready"] = ""
        assert http.get("/readyz").text == "ok\n"
        metrics = http.get("/metrics").text
        assert "\nharmony_leader " in metrics
        assert "\nharmony_build_info{version=" in metrics
    server.shutdown()
    server.server_close()
