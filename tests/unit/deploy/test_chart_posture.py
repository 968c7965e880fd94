"""How pods of the chart are confined, and who may talk to whom."""

from __future__ import annotations

import pytest

from tests.unit.deploy.chart import Manifest, named, of_kind, pod_specs, render
from tests.unit.deploy.chart_values import MATRIX

API_USERS = {"Deployment/harmony-operator", "Job/harmony-crds"}


@pytest.fixture(params=MATRIX, ids=list(MATRIX))
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    return render({**MATRIX[request.param], "fullnameOverride": "harmony"})


def test_pods_are_confined(manifests: list[Manifest]) -> None:
    specs = pod_specs(manifests)
    is_whole = any(name.endswith("-admin") for name in specs)
    assert len(specs) >= (9 if is_whole else 4)
    for name, spec in specs.items():
        whole = spec["securityContext"]
        assert whole["runAsNonRoot"] is True, name
        assert whole["runAsUser"] >= 999, name
        assert whole["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for key in ("hostNetwork", "hostPID", "hostIPC"):
            assert key not in spec, name
        assert spec["enableServiceLinks"] is False, name
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            resources = container["resources"]
            assert {"cpu", "memory"} <= set(resources["requests"]), name
            assert "memory" in resources["limits"], name
            assert "cpu" not in resources["limits"], f"{name}: a CPU limit slows what it bounds"
        for volume in spec.get("volumes", []):
            assert {"emptyDir", "configMap", "secret"} & set(volume), (name, volume)
            if "emptyDir" in volume:
                assert "sizeLimit" in volume["emptyDir"], name


def test_only_those_that_ask_the_api_server_have_a_token(manifests: list[Manifest]) -> None:
    for name, spec in pod_specs(manifests).items():
        assert spec["automountServiceAccountToken"] is (name in API_USERS), name
    for account in of_kind(manifests, "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def test_rights_are_bound_to_those_alone(manifests: list[Manifest]) -> None:
    bound = {
        subject["name"]
        for kind in ("ClusterRoleBinding", "RoleBinding")
        for binding in of_kind(manifests, kind)
        for subject in binding["subjects"]
    }
    users = {
        spec["serviceAccountName"]
        for name, spec in pod_specs(manifests).items()
        if name in API_USERS
    }
    assert bound <= users
    others = {
        spec.get("serviceAccountName", "default")
        for name, spec in pod_specs(manifests).items()
        if name not in API_USERS
    }
    assert bound & others == set()


def test_rights_go_to_an_account_of_your_own_that_no_other_pod_has() -> None:
    yours = {"serviceAccounts": {"create": False, "names": {"operator": "mine"}}}
    made = render(yours)
    for kind in ("ClusterRoleBinding", "RoleBinding"):
        for binding in of_kind(made, kind):
            if binding["metadata"]["labels"]["app.kubernetes.io/component"] == "operator":
                assert [subject["name"] for subject in binding["subjects"]] == ["mine"]
    accounts = {name: spec.get("serviceAccountName") for name, spec in pod_specs(made).items()}
    assert [name for name, one in accounts.items() if one == "mine"] == [
        "Deployment/harmony-operator"
    ]


def test_services_are_probed(manifests: list[Manifest]) -> None:
    for manifest in manifests:
        if manifest["kind"] not in {"Deployment", "StatefulSet"}:
            continue
        name = manifest["metadata"]["name"]
        (container,) = manifest["spec"]["template"]["spec"]["containers"]
        assert "livenessProbe" in container, name
        if "-worker-" not in name and "-beat" not in name:
            assert "readinessProbe" in container, name


def test_secrets_are_no_literals(manifests: list[Manifest]) -> None:
    for name, spec in pod_specs(manifests).items():
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            for variable in container.get("env", []):
                if any(word in variable["name"] for word in ("PASSWORD", "TOKEN", "URL", "AUTH")):
                    is_file = variable["name"].endswith("_FILE")
                    assert is_file or "valueFrom" in variable, (name, variable["name"])


def test_pods_that_are_several_are_disrupted_one_by_one() -> None:
    several = {"harmony-admin", "harmony-ingest", "harmony-operator"}
    assert {m["metadata"]["name"] for m in of_kind(render(), "PodDisruptionBudget")} == several
    one = {"admin": {"replicas": 1}, "workers": {"forecast": {"replicas": 3}}}
    found = {m["metadata"]["name"] for m in of_kind(render(one), "PodDisruptionBudget")}
    assert found == several - {"harmony-admin"} | {"harmony-worker-forecast"}


def test_a_pod_that_is_not_ready_holds_up_no_drain() -> None:
    for budget in of_kind(render(), "PodDisruptionBudget"):
        assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_who_is_asked_through_a_service_answers_until_it_is_out_of_it() -> None:
    manifests = render({"scaler": {"enabled": True}})
    waiting = set()
    for deployment in of_kind(manifests, "Deployment"):
        spec = deployment["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        if "lifecycle" in container:
            seconds = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
            assert spec["terminationGracePeriodSeconds"] >= seconds + 20 + 5
            waiting.add(deployment["metadata"]["name"])
    assert waiting == {"harmony-admin", "harmony-ingest", "harmony-scaler"}


def test_a_single_clock_is_never_two() -> None:
    beat = named(render(), "Deployment", "harmony-beat")
    assert (beat["spec"]["replicas"], beat["spec"]["strategy"]["type"]) == (1, "Recreate")
