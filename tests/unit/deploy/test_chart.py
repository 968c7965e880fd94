"""The chart lints, renders what the values ask for, and makes manifests that Kubernetes knows."""

from __future__ import annotations

import copy
import json
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from typing import Any

import helm_python
import kubernetes_validate
import pytest
import yaml
from kubernetes_validate import utils as validator

from services.kernel.jobs import QUEUES
from tests.unit.deploy.chart import (
    CHART,
    REPO,
    Manifest,
    hold_equal,
    named,
    of_kind,
    pod_specs,
    render,
    render_files,
    secret_of,
)

EXTERNAL: dict[str, Any] = {
    "postgres": {"enabled": False},
    "database": {"existingSecret": "our-database", "key": "uri"},
    "redis": {"enabled": False},
    "redisServer": {"existingSecret": "our-redis"},
}
PEERS = [{"namespaceSelector": {"matchLabels": {"team": "ml"}}}]
EVERYTHING: dict[str, Any] = {
    "commonLabels": {"team": "ml"},
    "image": {"repository": "registry.example/harmony", "digest": "sha256:" + "a" * 64},
    "imagePullSecrets": [{"name": "pull"}],
    "pod": {
        "podAnnotations": {"example.com/a": "1"},
        "podLabels": {"example.com/b": "2"},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "cpu", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "high",
        "extraEnv": [{"name": "TZ", "value": "UTC"}],
    },
    "admin": {"existingSecret": "our-key", "existingSecretKey": "token"},
    "ingest": {"existingSecret": "our-token"},
    "scaler": {"enabled": True, "tls": {"existingSecret": "scaler-tls", "verifyClients": True}},
    "workers": {
        "fit": {
            "nodeSelector": {"gpu": "yes"},
            "resources": {"limits": {"nvidia.com/gpu": "1", "memory": "8Gi"}},
        }
    },
    "serviceAccounts": {"annotations": {"example.com/role": "harmony"}},
    "ingress": {"enabled": True, "host": "harmony.example", "className": "nginx", "tlsSecret": "t"},
    "networkPolicies": {
        "clients": {"from": PEERS},
        "monitoring": {"from": PEERS},
        "scaler": {"from": PEERS},
        "database": {"from": PEERS, "to": PEERS},
        "redis": {"to": PEERS},
        "prometheus": {"to": PEERS},
        "apiServer": {"to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}]},
    },
    "monitoring": {
        "serviceMonitor": {"enabled": True, "labels": {"release": "prom"}},
        "prometheusRule": {"enabled": True, "runbookBase": "https://wiki.example/"},
        "dashboards": {"enabled": True, "namespace": "grafana"},
    },
}
NOTHING: dict[str, Any] = {
    **EXTERNAL,
    "serviceAccounts": {"create": False, "names": {"operator": "mine"}},
    "rbac": {"create": False},
    "crds": {"upgrade": False},
    "networkPolicies": {"enabled": False},
    "podDisruptionBudgets": {"enabled": False},
}
MATRIX: dict[str, dict[str, Any]] = {
    "default": {},
    "external": EXTERNAL,
    "external-urls": {
        "postgres": {"enabled": False},
        "database": {"url": "postgresql://u:p@db:5432/harmony"},
        "redis": {"enabled": False},
        "redisServer": {"url": "rediss://r:6380/0"},
    },
    "everything": EVERYTHING,
    "everything-external": {**EVERYTHING, **EXTERNAL},
    "scaler": {"scaler": {"enabled": True}},
    "monitoring": {"monitoring": EVERYTHING["monitoring"]},
    "nothing": NOTHING,
    "names": {"fullnameOverride": "h", "nameOverride": "gpu-scaling"},
}
VERSIONS = ("1.28.0", "1.31.0", "1.34.0", kubernetes_validate.latest_version())


@pytest.fixture(params=MATRIX, ids=list(MATRIX))
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    return render(MATRIX[request.param])


@pytest.mark.parametrize("values", MATRIX.values(), ids=list(MATRIX))
def test_lint(values: dict[str, Any]) -> None:
    report = helm_python.lint(CHART, values, strict=True, namespace="harmony-system")
    said = {message["error"] for message in report["messages"]}
    assert report["errors"] == []
    assert said <= {"icon is recommended"}


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


def test_versions_agree() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    assert chart["appVersion"] == project["version"]
    assert chart["kubeVersion"] == ">=1.28.0-0"


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
    given = {("Secret", n) for n in ("our-database", "our-redis", "our-key", "our-token")}
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
    assert hook["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
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


def test_given_secrets_are_used_and_others_drawn_anew() -> None:
    def secret(values: dict[str, Any], name: str = "harmony") -> dict[str, str]:
        return secret_of(named(render(values, name=name), "Secret", name))

    drawn = secret({})
    assert re.fullmatch(r"hk_[A-Za-z0-9]{10}_[A-Za-z0-9]{43}", drawn["admin-key"])
    assert drawn["postgres-password"] in drawn["database-url"]
    assert drawn["redis-password"] in drawn["redis.conf"]
    other = secret({}, "harmony-b")
    assert other["admin-key"] != drawn["admin-key"]
    given = secret(
        {
            "admin": {"key": "hk_abc_" + "k" * 40},
            "ingest": {"pushToken": "tok"},
            "postgres": {"password": "p@ss/word"},
        }
    )
    assert given["admin-key"] == "hk_abc_" + "k" * 40
    assert given["push-token"] == "tok"
    assert given["database-url"].startswith("postgresql://harmony:p%40ss%2Fword@")
    assert of_kind(render({**EVERYTHING, **EXTERNAL}), "Secret") == []


REFUSED = {
    "setings": ({"setings": {}}, "setings"),
    "unknown setting": ({"settings": {"stepp": 1}}, "stepp"),
    "setting out of bounds": ({"settings": {"step_s": 0}}, "/settings/step_s"),
    "setting of another type": ({"settings": {"log_level": "LOUD"}}, "/settings/log_level"),
    "fixed setting": ({"settings": {"port": 9}}, "port"),
    "replicas": ({"admin": {"replicas": "two"}}, "/admin/replicas"),
    "worker": ({"workers": {"train": {"replicas": 1}}}, "train"),
    "database": ({"database": {"url": "mysql://x"}}, "/database/url"),
    "admin key": ({"admin": {"key": "secret"}}, "/admin/key"),
    "pull policy": ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
    "port": (
        {"networkPolicies": {"database": {"ports": [70000]}}},
        "/networkPolicies/database/ports/0",
    ),
    "resources": ({"beat": {"resources": {"request": {}}}}, "request"),
    "no database": ({"postgres": {"enabled": False}}, "database.existingSecret"),
    "no redis": ({"redis": {"enabled": False}}, "redisServer.existingSecret"),
    "two databases": ({"database": {"url": "postgresql://x"}}, "postgres.enabled=false"),
    "host": ({"ingress": {"enabled": True}}, "ingress.host"),
}


@pytest.mark.parametrize(("values", "named_field"), REFUSED.values(), ids=list(REFUSED))
def test_wrong_values_are_refused_by_name(values: dict[str, Any], named_field: str) -> None:
    with pytest.raises(helm_python.HelmError) as caught:
        render(values)
    assert named_field in str(caught.value).replace(".", "/") + str(caught.value)


def test_every_value_is_in_the_schema() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())

    def resolve(node: dict[str, Any]) -> dict[str, Any]:
        reference = node.get("$ref", "")
        return schema["definitions"][reference.rsplit("/", 1)[1]] if reference else node

    def walk(values: Any, node: dict[str, Any], path: str) -> Iterator[str]:
        node = resolve(node)
        if not isinstance(values, dict) or node.get("type") != "object":
            return
        if "properties" in node:
            assert node["additionalProperties"] is False, path
        for key, value in values.items():
            inner = node.get("properties", {}).get(key)
            if inner is None and isinstance(node.get("additionalProperties"), dict):
                continue
            if inner is None and "properties" in node:
                yield f"{path}.{key}"
            elif inner is not None:
                yield from walk(value, inner, f"{path}.{key}")

    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert list(walk(values, schema, "")) == []


def test_the_notes_say_what_comes_next() -> None:
    notes = render_files("{}")["harmony/templates/NOTES.txt"]
    for step in ("rollout status", "admin-key", "port-forward service/harmony-admin", "Advisory"):
        assert step in notes
    assert "without backups" in notes
    assert (
        "without backups" not in render_files(json.dumps(EXTERNAL))["harmony/templates/NOTES.txt"]
    )
    manifest = yaml.safe_load(notes.split("<<'MANIFEST'\n")[1].split("MANIFEST")[0])
    assert (manifest["kind"], manifest["spec"]["mode"]) == ("GPUAutoscaler", "Advisory")


def test_the_default_render() -> None:
    """Whoever changes a template sees what it does to the manifests."""
    given = {"admin": {"key": "hk_abc_" + "k" * 40}, "ingest": {"pushToken": "token"}}
    given |= {"postgres": {"password": "postgres"}, "redis": {"password": "redis"}}
    files = render_files(json.dumps(given))
    text = "".join(f"# {path}\n{files[path].strip()}\n" for path in sorted(files))
    clean = "\n".join(line.rstrip() for line in text.splitlines()) + "\n"
    hold_equal(REPO / "tests" / "unit" / "deploy" / "golden" / "default-render.yaml", clean)
