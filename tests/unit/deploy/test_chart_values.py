"""The chart lints, refuses wrong values by name, and renders what right ones ask for."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import helm_python
import pytest
import yaml

from tests.unit.deploy.chart import (
    CHART,
    REPO,
    hold_equal,
    named,
    of_kind,
    render,
    render_files,
    secret_of,
)
from tests.unit.deploy.chart_values import EVERYTHING, EXTERNAL, MATRIX


@pytest.mark.parametrize("values", MATRIX.values(), ids=list(MATRIX))
def test_lint(values: dict[str, Any]) -> None:
    report = helm_python.lint(CHART, values, strict=True, namespace="harmony-system")
    said = {message["error"] for message in report["messages"]}
    assert report["errors"] == []
    assert said <= {"icon is recommended"}


def test_versions_agree() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    assert chart["appVersion"] == project["version"]
    assert chart["kubeVersion"] == ">=1.28.0-0"


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


def test_a_quote_in_a_password_of_redis_is_part_of_it() -> None:
    """Bare, `it's` ends Valkey with "Unbalanced quotes", and of `a'b'` it takes `ab`."""
    for password in ("it's", "a'b'", "#p", "a=b&c"):
        secret = secret_of(named(render({"redis": {"password": password}}), "Secret", "harmony"))
        assert secret["redis.conf"].splitlines()[0] == f'requirepass "{password}"'
        assert secret["redis-password"] == password


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
    "no port, which would be all": ({"networkPolicies": {"prometheus": {"ports": None}}}, "ports"),
    "resources": ({"beat": {"resources": {"request": {}}}}, "request"),
    "no database": ({"postgres": {"enabled": False}}, "database.existingSecret"),
    "no redis": ({"redis": {"enabled": False}}, "redisServer.existingSecret"),
    "two databases": ({"database": {"url": "postgresql://x"}}, "postgres.enabled=false"),
    "host": ({"ingress": {"enabled": True}}, "ingress.host"),
    "names of Services": ({"fullnameOverride": "GPU_scaling"}, "fullnameOverride"),
    "first letter": ({"fullnameOverride": "2nd"}, "fullnameOverride"),
    "label": ({"fullnameOverride": "h", "nameOverride": "-h"}, "nameOverride"),
    "account of every pod": (
        {"serviceAccounts": {"create": False, "names": {"admin": "harmony"}}},
        "serviceAccounts.names.operator",
    ),
    "account of another pod": (
        {"serviceAccounts": {"create": False, "names": {"admin": "one", "operator": "one"}}},
        "serviceAccounts.names.operator",
    ),
    "clients verified without a certificate": (
        {"scaler": {"enabled": True, "tls": {"verifyClients": True}}},
        "scaler.tls.existingSecret",
    ),
    "a database of the operator's own": (
        {"operatorOnly": True},
        "postgres.enabled=false",
    ),
    "a console that is not there": (
        {**MATRIX["operator-only"], "ingress": {"enabled": True, "host": "h.example"}},
        "ingress.enabled=false",
    ),
    "label of selectors": ({"commonLabels": {"app.kubernetes.io/name": "ml"}}, "commonLabels"),
}


@pytest.mark.parametrize(("values", "named_field"), REFUSED.values(), ids=list(REFUSED))
def test_wrong_values_are_refused_by_name(values: dict[str, Any], named_field: str) -> None:
    with pytest.raises(helm_python.HelmError) as caught:
        render(values)
    assert named_field in str(caught.value).replace(".", "/") + str(caught.value)


def test_a_release_whose_name_is_none_of_a_service_is_refused_at_once() -> None:
    """Helm allows dots; half of the release would be there when the API server refuses the rest."""
    with pytest.raises(helm_python.HelmError, match="fullnameOverride"):
        render(name="my.release")
    render({"fullnameOverride": "harmony"}, name="my.release")


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


def test_keys_of_peers_are_mounted_where_peers_are_read() -> None:
    manifests = render({"peerKeys": {"existingSecret": "our-peers"}})
    for manifest in manifests:
        if manifest["kind"] != "Deployment":
            continue
        pod = manifest["spec"]["template"]["spec"]
        component = manifest["metadata"]["labels"]["app.kubernetes.io/component"]
        mounts = {each["name"]: each["mountPath"] for each in pod["containers"][0]["volumeMounts"]}
        secrets = [each["secret"]["secretName"] for each in pod["volumes"] if "secret" in each]
        variables = {each["name"]: each.get("value") for each in pod["containers"][0]["env"]}
        reads = component in {"admin", "worker-decide"}
        assert (mounts.get("peer-keys") == "/etc/harmony/peers") is reads, component
        assert ("our-peers" in secrets) is reads, component
        assert (variables.get("HARMONY_PEER_KEYS") == "/etc/harmony/peers") is reads, component


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
    alone = render_files(json.dumps(MATRIX["operator-only"]))["harmony/templates/NOTES.txt"]
    assert "the operator alone, of the cluster eu-west" in alone
    assert "harmony-admin" not in alone


def test_the_default_render() -> None:
    """Whoever changes a template sees what it does to the manifests."""
    given = {"admin": {"key": "hk_abc_" + "k" * 40}, "ingest": {"pushToken": "token"}}
    given |= {"postgres": {"password": "postgres"}, "redis": {"password": "redis"}}
    files = render_files(json.dumps(given))
    text = "".join(f"# {path}\n{files[path].strip()}\n" for path in sorted(files))
    clean = "\n".join(line.rstrip() for line in text.splitlines()) + "\n"
    hold_equal(REPO / "tests" / "unit" / "deploy" / "golden" / "default-render.yaml", clean)
