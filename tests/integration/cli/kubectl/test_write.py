"""Approvals and pauses from the plugin to the operator, on the simulated cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from services.kernel.clock import FixedClock
from services.lab.cluster.cluster import ClusterSettings
from services.lab.cluster.kubeconfig import make_kubeconfig
from services.operator.resource import autoscaler
from services.operator.resource.definitions import GPU_AUTOSCALER, to_crd
from tests.integration.cli.conftest import Plugin
from tests.integration.operator.conftest import Bench
from tests.unit.lab.cluster.background_cluster import BackgroundCluster

pytestmark = pytest.mark.integration


def annotations(bench: Bench, name: str = "llama") -> dict[str, str]:
    found = bench.lab.autoscaler(name)["metadata"].get("annotations") or {}
    return {str(key): str(value) for key, value in found.items()}


def asked(bench: Bench, desired: int = 4, **spec: Any) -> int:
    """A decision that waits for an approval; its id."""
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama", mode="Approval", **spec)
    bench.reconcile()
    decision = bench.decide("llama", desired)
    bench.reconcile()
    assert bench.results()[-1] == (decision, 1, "awaiting_approval")
    return decision


def test_an_approval_reaches_the_target(bench: Bench, plugin: Plugin) -> None:
    decision = asked(bench)
    answer = plugin("approve", "llama")
    assert (answer.status, answer.err) == (0, "")
    did = f"decision {decision} approved: 2 → 4 replicas, +$2.50 per hour"
    assert answer.out.startswith(f"{bench.lab.namespace}/llama: {did}")
    bench.reconcile()
    assert bench.lab.replicas("llama") == 4
    assert bench.results()[-1] == (decision, 2, "applied")
    assert "has been applied already" in plugin.fails("approve", "llama")
    assert "has been applied already" in plugin.fails("reject", "llama")


def test_a_rejection_takes_the_approval_back(bench: Bench, plugin: Plugin) -> None:
    decision = asked(bench)
    plugin("approve", "llama")
    answer = plugin("reject", "llama", "--json")
    assert answer.status == 0
    assert answer.items[0]["did"] == f"decision {decision} rejected; its approval is taken back"
    assert annotations(bench) == {
        autoscaler.REJECTED_DECISION: str(decision),
        autoscaler.REJECTED_BY: "kubernetes-admin",
    }
    bench.reconcile()
    assert bench.lab.replicas("llama") == 2
    assert f"--decision {decision} to approve it all the same" in plugin.fails("approve", "llama")
    assert plugin("approve", "llama", "--decision", str(decision)).status == 0
    assert annotations(bench) == {
        autoscaler.APPROVED_DECISION: str(decision),
        autoscaler.APPROVED_BY: "kubernetes-admin",
    }
    bench.reconcile()
    assert bench.lab.replicas("llama") == 4


def test_a_rejection_is_said_wherever_a_user_looks(bench: Bench, plugin: Plugin) -> None:
    decision = asked(bench)
    assert plugin("reject", "llama").status == 0
    bench.reconcile()
    no = f"decision {decision} was rejected by kubernetes-admin; the next decision is awaited"
    assert bench.results()[-1] == (decision, 2, "rejected")
    active = bench.lab.condition("llama", "DecisionActive")
    assert (active["status"], active["reason"]) == ("True", "DecisionRejected")
    assert (
        f"decision {decision} (2 -> 4 replicas) was rejected by kubernetes-admin"
        in active["message"]
    )
    last = bench.lab.autoscaler("llama")["status"]["lastDecision"]
    assert (last["result"], last["resultReason"]) == ("rejected", no)
    assert last["rejectedBy"] == "kubernetes-admin"
    assert [e["message"] for e in bench.lab.events() if e["reason"] == "DecisionRejected"] == [no]
    where = f"{bench.lab.namespace}/llama"
    assert f"{where}: {no}\n" in plugin("diff", "llama").out
    explained = plugin("explain", "llama").out
    assert "[rejected]" in explained.splitlines()[0]
    assert f": {no}" in " ".join(explained.split())
    assert "waits" not in explained
    assert plugin("history", "llama", "--json").items[0]["result"] == "rejected"
    for _ in range(2):  # said once, and kept by an operator that has just started
        bench.fresh_operator()
        assert bench.reconcile().n_statuses == 0
    assert bench.results()[-1] == (decision, 2, "rejected")
    bench.step()
    newer = bench.decide("llama", 4)
    bench.reconcile()
    assert bench.results()[-1] == (newer, 1, "awaiting_approval")
    assert bench.lab.condition("llama", "DecisionActive")["reason"] == "AwaitingApproval"
    assert plugin("approve", "llama").status == 0
    bench.reconcile()
    assert bench.lab.replicas("llama") == 4
    rescales = [e["message"] for e in bench.lab.events() if e["reason"] == "SuccessfulRescale"]
    assert rescales[-1].endswith("; approved by: kubernetes-admin")


def test_an_expired_decision_is_refused(bench: Bench, plugin: Plugin) -> None:
    decision = asked(bench, approval={"expireAfter": "5m"})
    bench.clock.advance(300)
    line = plugin.fails("approve", "llama")
    assert line.startswith(f"decision {decision} of {bench.lab.namespace}/llama could be approved")
    assert "spec.approval.expireAfter" in line
    assert annotations(bench) == {}


def test_a_superseded_decision_is_refused_by_name_and_the_newest_taken(
    bench: Bench, plugin: Plugin
) -> None:
    older = asked(bench)
    bench.step()
    newer = bench.decide("llama", 6)
    bench.reconcile()
    line = plugin.fails("approve", "llama", "--decision", str(older))
    assert f"superseded: decision {newer} is newer and wants 6 replicas, not 4" in line
    assert annotations(bench) == {}
    assert plugin("approve", "llama").status == 0
    bench.reconcile()
    assert bench.lab.replicas("llama") == 6


def test_an_older_decision_for_the_same_count_may_be_approved(bench: Bench, plugin: Plugin) -> None:
    older = asked(bench)
    bench.step()
    bench.decide("llama", 4)
    bench.reconcile()
    assert plugin("approve", "llama", "--decision", str(older)).status == 0
    bench.reconcile()
    assert bench.lab.replicas("llama") == 4


def test_approvals_where_none_is_asked_for_are_refused(bench: Bench, plugin: Plugin) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama", mode="Advisory")
    bench.reconcile()
    assert "has no decision yet" in plugin.fails("approve", "llama")
    bench.decide("llama", 4)
    bench.reconcile()
    assert "is in mode Advisory, which applies nothing" in plugin.fails("approve", "llama")
    assert f'"{"nope"}" not found' in plugin.fails("approve", "nope")


def test_a_pause_holds_the_operator_until_it_is_resumed(bench: Bench, plugin: Plugin) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.reconcile()
    where = f"{bench.lab.namespace}/llama"
    assert plugin("pause", "llama").out == f"{where}: paused (was: not paused)\n"
    assert plugin("pause", "llama").out == f"{where}: paused already\n"
    bench.decide("llama", 4)
    bench.reconcile()
    assert bench.lab.replicas("llama") == 2
    assert bench.results()[-1][2] == "paused"
    assert bench.lab.condition("llama", "Paused")["reason"] == "PausedByAnnotation"
    assert "met a pause" not in plugin("resume", "llama").out
    assert annotations(bench) == {}
    bench.step()
    bench.decide("llama", 4)
    bench.reconcile()
    assert bench.lab.replicas("llama") == 4
    assert plugin("resume", "llama").out == f"{where}: not paused already\n"


def test_a_pause_for_a_while_ends_by_itself(bench: Bench, plugin: Plugin) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.reconcile()
    end = bench.clock.now() + timedelta(hours=2)
    answer = plugin("pause", "llama", "--for", "2h", "--json")
    assert answer.items[0]["after"] == {autoscaler.PAUSED_UNTIL: f"{end:%Y-%m-%dT%H:%M:%SZ}"}
    bench.decide("llama", 4)
    bench.reconcile()
    assert bench.lab.replicas("llama") == 2
    bench.clock.advance(7200)
    bench.decide("llama", 4)
    bench.reconcile()
    assert bench.lab.replicas("llama") == 4


def test_a_pause_replaces_the_one_before(bench: Bench, plugin: Plugin) -> None:
    for name in ("llama", "embed"):
        bench.lab.deploy(name)
        bench.lab.autoscale(name, {"team": "ml"})
    plugin("pause", "llama", "--until", "2026-02-01T08:00:00+01:00")
    answer = plugin("pause", "llama", "embed", "--scale-in-only")
    assert answer.status == 0
    first, second = answer.out.splitlines()
    assert first.endswith("replicas are added only (was: paused until 2026-02-01T07:00:00Z)")
    assert second.endswith("replicas are added only (was: not paused)")
    for name in ("llama", "embed"):
        assert annotations(bench, name) == {"team": "ml", autoscaler.PAUSED_SCALE_IN: "true"}
    assert "is not after now" in plugin.fails("pause", "llama", "--until", "2025-01-01T00:00:00Z")


def test_a_dry_run_keeps_nothing(bench: Bench, plugin: Plugin) -> None:
    asked(bench)
    answer = plugin("pause", "llama", "--dry-run=server")
    assert answer.out.endswith("paused (was: not paused) (dry run: nothing was kept)\n")
    assert plugin("approve", "llama", "--dry-run=server").status == 0
    assert annotations(bench) == {}


def test_the_api_servers_refusal_is_passed_on(bench: Bench, plugin: Plugin) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.lab.fault(kind="error", verb="patch", resource="gpuautoscalers")
    line = plugin.fails("pause", "llama")
    assert line.startswith(f"GPUAutoscaler {bench.lab.namespace}/llama: ")
    assert annotations(bench) == {}


def test_without_the_right_to_it_nothing_is_changed(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    clock: FixedClock,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = ClusterSettings([], seed=1, start_s=clock.now().timestamp(), admin_token="root")
    with BackgroundCluster(settings) as cluster, httpx.Client(base_url=cluster.url) as http:
        http.headers["Authorization"] = "Bearer root"
        who = {"namespace": "default", "name": "reader"}
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "reader"}}
        http.post("/api/v1/namespaces/default/serviceaccounts", json=account).raise_for_status()
        token = http.post("/lab/tokens", json=who).raise_for_status().json()["token"]
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(yaml.safe_dump(make_kubeconfig(cluster.url, token)))
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        plugin = Plugin(clock, capsys)
        assert "are Harmony's CRDs installed" in plugin.fails("pause", "llama")
        crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        http.post(crds, json=to_crd(GPU_AUTOSCALER)).raise_for_status()
        line = plugin.fails("pause", "llama")
    assert line.startswith("GPUAutoscaler default/llama: ")
    assert "system:serviceaccount:default:reader" in line


def test_an_object_of_another_cluster_is_not_written_to(
    bench: Bench, plugin: Plugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The API knows one cluster, the context is of another that has a service of that name."""
    asked(bench)
    settings = ClusterSettings([], seed=7, start_s=bench.clock.now().timestamp())
    namespace, own = bench.lab.namespace, tmp_path / "kubeconfig"
    place = f"/apis/scaling.harmony.dev/v1alpha1/namespaces/{namespace}/gpuautoscalers"
    with BackgroundCluster(settings) as other, httpx.Client(base_url=other.url) as http:
        http.headers["Authorization"] = f"Bearer {other.token}"
        crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        http.post(crds, json=to_crd(GPU_AUTOSCALER)).raise_for_status()
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        http.post("/api/v1/namespaces", json=space)
        twin = bench.lab.autoscaler("llama")
        twin["metadata"] = {"name": "llama", "annotations": {autoscaler.PAUSED: "true"}}
        http.post(place, json=twin).raise_for_status()
        elsewhere: Any = make_kubeconfig(other.url, other.token)
        elsewhere["contexts"][0]["name"] = elsewhere["current-context"] = "elsewhere"
        elsewhere["clusters"][0]["name"] = elsewhere["contexts"][0]["context"]["cluster"] = "c2"
        (tmp_path / "second").write_text(yaml.safe_dump(elsewhere))
        monkeypatch.setenv("KUBECONFIG", f"{own}:{tmp_path / 'second'}")
        for command in ("approve", "reject", "resume"):
            line = plugin.fails(command, "llama", "-n", namespace, "--context", "elsewhere")
            assert f"in context 'elsewhere' ({other.url}), uid " in line
            assert f"in cluster 'default' of {os.environ['HARMONY_URL']}; nothing was" in line
        found = http.get(f"{place}/llama").json()["metadata"]["annotations"]
        assert found == {autoscaler.PAUSED: "true"}
    assert plugin("approve", "llama").status == 0


def test_as_a_process_with_the_users_environment(bench: Bench, plugin: Plugin) -> None:
    decision = asked(bench)
    command = [
        sys.executable,
        "-m",
        "services.cli.kubectl",
        "explain",
        "llama",
        "--json",
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, env=dict(os.environ), check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    (item,) = json.loads(done.stdout)["items"]
    assert (item["id"], item["action_result"]) == (decision, "awaiting_approval")
