"""The chart's manifests: known to Kubernetes, and true to each other."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import kubernetes_validate
import pytest
import yaml
from kubernetes_validate import utils as validator

from services.kernel.jobs import QUEUES
from tests.unit.deploy.chart import REPO, Manifest, named, of_kind, pod_specs, render
from tests.unit.deploy.chart_values import EXTERNAL, MATRIX

VERSIONS = ("1.28.0", "1.31.0", "1.34.0", kubernetes_validate.latest_version())
SERVERS = ("postgres", "redis")


@pytest.fixture(scope="module")
def read_once() -> Iterator[None]:
    """The validator reads its schemas, some megabytes, anew for each manifest."""
    read = validator.schema_contents
    validator.schema_contents = cache(read)
    yield
    validator.schema_contents = read


@pytest.mark.usefixtures("read_once")
@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_knows_every_manifest(version: str) -> None:
    different = {
        json.dumps(m, sort_keys=True) for values in MATRIX.values() for m in render(values)
    }
    kinds = set()
    for text in sorted(different):
        manifest = json.loads(text)
        if manifest["apiVersion"] == "monitoring.coreos.com/v1":
            continue  # the Prometheus operator's; test_monitoring looks into them
        assert version.startswith(kubernetes_validate.validate(manifest, version, strict=True))
        kinds.add(manifest["kind"])
    assert len(kinds) >= 14


@pytest.mark.usefixtures("read_once")
def test_a_misspelt_field_would_be_noticed() -> None:
    manifest = copy.deepcopy(named(render(), "Deployment", "harmony-admin"))
    manifest["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readinesProbe"):
        kubernetes_validate.validate(manifest, VERSIONS[-1], strict=True)


def test_names_are_unique_and_short_enough(manifests: list[Manifest]) -> None:
    seen = [
        (m["apiVersion"], m["kind"], m["metadata"].get("namespace"), m["metadata"]["name"])
        for m in manifests
    ]
    assert len(seen) == len(set(seen))
    assert max(len(name) for *_, name in seen) <= 63


def test_long_release_names_stay_within_the_limit() -> None:
    for manifest in render({"scaler": {"enabled": True}}, name="a" * 53):
        kind = manifest["kind"]
        limit = 52 if kind == "StatefulSet" else 253 if kind.startswith("ClusterRole") else 63
        assert len(manifest["metadata"]["name"]) <= limit, manifest["metadata"]["name"]
        for value in (manifest["metadata"].get("labels") or {}).values():
            assert len(value) <= 63


def test_one_deployment_for_each_process() -> None:
    from tests.unit.deploy.test_compose import ENDING, SERVERS

    compose = yaml.safe_load((REPO / "docker-compose.yml").read_text())["services"]
    ours = set(compose) - SERVERS - ENDING - {"cluster"}
    found = {
        m["metadata"]["labels"]["app.kubernetes.io/component"]: m
        for m in of_kind(render({"scaler": {"enabled": True}}), "Deployment")
    }
    assert set(found) == ours
    for name, manifest in found.items():
        (container,) = manifest["spec"]["template"]["spec"]["containers"]
        assert container["command"] == compose[name]["command"], name
    without = {m["metadata"]["name"] for m in of_kind(render(), "Deployment")}
    assert without == {f"harmony-{name}" for name in ours - {"scaler"}}
    alone = {m["metadata"]["name"] for m in of_kind(render(MATRIX["operator-only"]), "Deployment")}
    assert alone == {"harmony-operator", "harmony-scaler"}


def test_selectors_find_their_pods_and_no_others(manifests: list[Manifest]) -> None:
    pods = {
        m["metadata"]["name"]: m["spec"]["template"]["metadata"]["labels"]
        for m in manifests
        if m["kind"] in {"Deployment", "StatefulSet", "Job"}
    }
    for manifest in manifests:
        kind, spec = manifest["kind"], manifest.get("spec") or {}
        if kind in {"Deployment", "StatefulSet", "PodDisruptionBudget"}:
            wanted = spec["selector"]["matchLabels"]
        elif kind == "Service":
            wanted = spec["selector"]
        else:
            continue
        hit = {name for name, labels in pods.items() if wanted.items() <= labels.items()}
        assert hit == {manifest["metadata"]["name"]}


def test_a_mesh_is_told_of_http_in_clear_only_where_it_is() -> None:
    for tls, told in (({}, "kubernetes.io/h2c"), ({"existingSecret": "scaler-tls"}, None)):
        made = render({"scaler": {"enabled": True, "tls": tls}})
        first, _ = named(made, "Service", "harmony-scaler")["spec"]["ports"]
        assert first["name"] == "grpc"
        assert first.get("appProtocol") == told


def test_services_lead_to_named_ports(manifests: list[Manifest]) -> None:
    ports = {
        m["metadata"]["name"]: {
            p["name"]: p["containerPort"]
            for c in m["spec"]["template"]["spec"]["containers"]
            for p in c.get("ports", [])
        }
        for m in manifests
        if m["kind"] in {"Deployment", "StatefulSet"}
    }
    for service in of_kind(manifests, "Service"):
        for port in service["spec"]["ports"]:
            assert ports[service["metadata"]["name"]][port["targetPort"]] == port["port"]
    for name, spec in pod_specs(manifests).items():
        for container in spec["containers"]:
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                asked = (container.get(probe) or {}).get("httpGet")
                if asked:
                    assert asked["port"] in {p["name"] for p in container["ports"]}, name


def test_everything_that_is_mounted_exists(manifests: list[Manifest]) -> None:
    made = {(m["kind"], m["metadata"]["name"]) for m in manifests}
    given = {
        ("Secret", n) for n in ("our-database", "our-redis", "our-key", "our-token", "our-client")
    }
    given.add(("Secret", "scaler-tls"))
    keys = {
        (m["kind"], m["metadata"]["name"], key) for m in manifests for key in m.get("data") or {}
    }
    for name, spec in pod_specs(manifests).items():
        volumes = {volume["name"] for volume in spec.get("volumes", [])}
        claims = {"data"}  # of the StatefulSets
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            assert {m["name"] for m in container.get("volumeMounts", [])} <= volumes | claims, name
            for variable in container.get("env", []):
                reference = (variable.get("valueFrom") or {}).get("secretKeyRef")
                if reference and ("Secret", reference["name"]) in made:
                    assert ("Secret", reference["name"], reference["key"]) in keys, name
                elif reference:
                    assert ("Secret", reference["name"]) in given, name
        for volume in spec.get("volumes", []):
            if "secret" in volume:
                assert ("Secret", volume["secret"]["secretName"]) in made | given, name
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in made, name


def test_queues_are_all_served() -> None:
    commands = [
        spec["containers"][0]["command"]
        for name, spec in pod_specs(render()).items()
        if "worker-" in name
    ]
    assert sorted(c[2] for c in commands) == sorted(f"--queues={queue}" for queue in QUEUES)


def test_the_migration_is_a_hook_only_where_it_can_run_first() -> None:
    def job(values: dict[str, Any]) -> Manifest:
        found = [m for m in of_kind(render(values), "Job") if "migrate" in m["metadata"]["name"]]
        assert len(found) == 1
        return found[0]

    hook = job(EXTERNAL)["metadata"]
    assert hook["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade,pre-rollback"
    assert hook["name"] == "harmony-migrate"
    plain = job({})
    assert "annotations" not in plain["metadata"]
    (waiting,) = plain["spec"]["template"]["spec"]["initContainers"]
    assert waiting["command"][-1] == "--reachable"
    # a Job cannot be changed: whatever changes its pod changes its name
    same = job({"admin": {"replicas": 3}})["metadata"]["name"]
    assert same == plain["metadata"]["name"]
    names = {
        job(values)["metadata"]["name"]
        for values in (
            {},
            {"image": {"tag": "next"}},
            {"commonLabels": {"a": "b"}},
            {"migrate": {"resources": {"limits": {"memory": "1Gi"}}}},
            {"imagePullSecrets": [{"name": "x"}]},
        )
    }
    assert len(names) == 5
    hooked = {m["kind"] for m in render(EXTERNAL) if _is_hook(m, "pre-install")}
    assert hooked == {"Job", "ServiceAccount"}


def test_a_migration_that_failed_runs_again_with_the_next_upgrade() -> None:
    """A Job that has used up its time stays as it is, and one of the same name is not made anew."""
    first, second = (
        next(m for m in of_kind(render(revision=r), "Job") if "migrate" in m["metadata"]["name"])
        for r in (1, 2)
    )
    assert first["metadata"]["name"] != second["metadata"]["name"]
    assert first["spec"] == second["spec"]
    for revision in (1, 2):
        named(render(EXTERNAL, revision=revision), "Job", "harmony-migrate")


def test_a_postgres_that_reads_its_log_again_is_not_ended_meanwhile() -> None:
    pod = pod_specs(render())["StatefulSet/harmony-postgres"]
    probe = pod["containers"][0]["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 1800


def _is_hook(manifest: Manifest, word: str) -> bool:
    return word in (manifest["metadata"].get("annotations") or {}).get("helm.sh/hook", "")


def test_a_hook_before_the_release_needs_nothing_of_it() -> None:
    manifests = render(EXTERNAL)
    job = named(manifests, "Job", "harmony-migrate")
    spec = job["spec"]["template"]["spec"]
    assert "initContainers" not in spec
    assert all("configMap" not in v and "secret" not in v for v in spec["volumes"])
    account = named(manifests, "ServiceAccount", spec["serviceAccountName"])
    assert int(account["metadata"]["annotations"]["helm.sh/hook-weight"]) < int(
        job["metadata"]["annotations"]["helm.sh/hook-weight"]
    )


def test_every_service_waits_for_the_schema(manifests: list[Manifest]) -> None:
    for deployment in of_kind(manifests, "Deployment"):
        (waiting,) = deployment["spec"]["template"]["spec"]["initContainers"]
        assert waiting["command"] == ["python", "/hooks/wait_for_schema.py"]


@pytest.mark.parametrize("is_hook", [False, True])
def test_what_opens_the_database_knows_of_it_what_its_pod_is_given(is_hook: bool) -> None:
    """libpq reads passwords and certificates from variables too."""
    given = {"name": "PGPASSWORD", "valueFrom": {"secretKeyRef": {"name": "pg", "key": "word"}}}
    own = {"name": "PGSSLMODE", "value": "verify-full"}
    servers = EXTERNAL if is_hook else {}
    pod, admin = {"extraEnv": [given]}, {"extraEnv": [given, own]}
    seen = set()
    for manifest in _with_pods(render({**servers, "pod": pod, "admin": admin})):
        spec = (
            manifest["spec"] if manifest["kind"] == "Pod" else manifest["spec"]["template"]["spec"]
        )
        for container in spec.get("initContainers", []) + spec["containers"]:
            variables = {each["name"]: each for each in container.get("env", [])}
            if "HARMONY_DATABASE_URL" not in variables:
                continue
            component = manifest["metadata"]["labels"]["app.kubernetes.io/component"]
            assert variables.get("PGPASSWORD") == given, (component, container["name"])
            assert ("PGSSLMODE" in variables) is (component == "admin"), container["name"]
            seen.add((component, container["name"]))
    assert {("admin", "wait-for-database"), ("admin", "admin"), ("migrate", "migrate")} <= seen
    assert (("migrate", "wait-for-database") in seen) is not is_hook


@pytest.mark.parametrize("server", ["postgres", "redis"])
def test_a_new_password_starts_its_server_anew_and_no_other_secret_does(server: str) -> None:
    """Both take it when they start; Harmony's own pods start with it too."""
    secrets = {"admin": {"key": "hk_abc_" + "k" * 40}, "ingest": {"pushToken": "token"}}
    secrets |= {"postgres": {"password": "old"}, "redis": {"password": "old"}}

    def servers(**changes: Any) -> dict[str, Any]:
        manifests = render({**secrets, **changes})
        found = {name: named(manifests, "StatefulSet", f"harmony-{name}") for name in SERVERS}
        return {name: one["spec"]["template"] for name, one in found.items()}

    before, after = servers(), servers(**{server: {"password": "new"}})
    assert {name for name in SERVERS if before[name] != after[name]} == {server}
    assert servers(ingest={"pushToken": "another"}) == before


@pytest.mark.parametrize("is_upgrade", [False, True])
@pytest.mark.parametrize("servers", [{}, EXTERNAL])
def test_every_pod_has_the_labels_and_annotations_that_all_are_to_have(
    servers: dict[str, Any], is_upgrade: bool
) -> None:
    """A sidecar that a mesh adds to the pod of a hook keeps its Job, and so the upgrade, open."""
    given = {"podLabels": {"team": "ml"}, "podAnnotations": {"sidecar.istio.io/inject": "false"}}
    manifests = render({**servers, "pod": given}, is_upgrade=is_upgrade)
    pods = [m if m["kind"] == "Pod" else m["spec"]["template"] for m in _with_pods(manifests)]
    assert len(pods) > 10
    for pod in pods:
        metadata = pod["metadata"]
        assert metadata["labels"]["team"] == "ml", metadata["labels"]
        assert metadata["annotations"]["sidecar.istio.io/inject"] == "false", metadata["labels"]


def _with_pods(manifests: list[Manifest]) -> list[Manifest]:
    return [m for m in manifests if m["kind"] == "Pod" or "template" in (m.get("spec") or {})]
