"""The chart as tests read it, and the parts of it that are made from the code."""

from __future__ import annotations

import base64
import difflib
import json
import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import helm_python
import yaml

from services.kernel.settings import Settings
from services.operator.resource.rights import RIGHTS

REPO = Path(__file__).parents[3]
CHART = REPO / "helm" / "harmony"
UPDATE = "HARMONY_UPDATE_GOLDEN"

Manifest = dict[str, Any]

FIXED = {
    "database_url": "from a Secret",
    "redis_url": "from a Secret",
    "home": "there are no embedded servers",
    "clock": "the wall clock",
    "queues": "each worker's command",
    "kube_url": "the pod's service account",
    "worker_metrics_port": "8083",
    "operator_metrics_port": "8082",
    "leader_election": "on",
    "lease_name": "the operator's name",
    "lease_namespace": "the pod's own",
    "scaler_port": "8084",
    "scaler_metrics_port": "8085",
    "scaler_tls_cert_file": "scaler.tls",
    "scaler_tls_key_file": "scaler.tls",
    "scaler_tls_client_ca_file": "scaler.tls",
    "host": "0.0.0.0",
    "port": "8080",
    "ingest_port": "8081",
    "admin_key_file": "from a Secret",
    "push_token": "from a Secret",
    "oidc_client_secret": "from a Secret",
}
"""Settings that the chart decides, with what it decides; all others are in `settings`."""


def free_settings() -> dict[str, Any]:
    """Settings that a user may set through the chart, with their defaults."""
    fields = Settings.model_fields
    return {name: field.default for name, field in fields.items() if name not in FIXED}


def settings_block() -> str:
    """`settings:` of values.yaml."""
    lines = ["settings:"]
    for name, default in free_settings().items():
        lines.append(f"  # {Settings.model_fields[name].description}")
        lines.append(f"  {name}: {json.dumps(_plain(default))}")
    return "\n".join(lines) + "\n"


def settings_schema() -> dict[str, Any]:
    """`settings` of values.schema.json."""
    known = Settings.model_json_schema()["properties"]
    dropped = {"default", "title"}
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            name: {key: value for key, value in known[name].items() if key not in dropped}
            for name in free_settings()
        },
    }


def operator_rights() -> str:
    """files/operator-rights.yaml: the operator's rights but for its Lease, which has a Role."""
    header = "# Made from services/operator/resource/rights.py; see templates/rbac.yaml.\n"
    rules = [r.to_manifest() for r in RIGHTS if r.api_group != "coordination.k8s.io"]
    return header + yaml.safe_dump({"rules": rules}, sort_keys=False)


def with_settings(values: str) -> str:
    """values.yaml with its `settings:` made anew; the rest stays as it is."""
    block = re.compile(r"^settings:\n(?:(?: .*)?\n)*?(?=\n*# ----)", re.MULTILINE)
    found, n_found = block.subn(lambda _: settings_block(), values)
    assert n_found == 1, "values.yaml holds no `settings:` before the next ruler"
    return found


def generated() -> dict[Path, str]:
    """What files of the chart must hold that are made from other files."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    schema["properties"]["settings"] = settings_schema()
    files = {
        CHART / "values.yaml": with_settings((CHART / "values.yaml").read_text()),
        CHART / "values.schema.json": json.dumps(schema, indent=2) + "\n",
        CHART / "files" / "operator-rights.yaml": operator_rights(),
    }
    for path in sorted((REPO / "deploy" / "grafana" / "dashboards").glob("*.json")):
        files[CHART / "dashboards" / path.name] = path.read_text()
    for path in sorted((REPO / "deploy" / "prometheus" / "rules").glob("*.yml")):
        files[CHART / "rules" / path.name] = path.read_text()
    return files


def hold_equal(path: Path, wanted: str) -> None:
    """Assert that a file holds `wanted`, or write it when golden files are made anew."""
    if os.environ.get(UPDATE):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted)
    found = path.read_text() if path.exists() else ""
    changes = difflib.unified_diff(found.splitlines(), wanted.splitlines(), "stored", "wanted")
    name = path.relative_to(REPO)
    hint = f"{name}: run `{UPDATE}=1 python -m pytest tests/unit/deploy`, and look at the diff"
    assert found == wanted, "\n".join([hint, *list(changes)[:60]])


def render(
    values: Mapping[str, Any] | None = None,
    *,
    name: str = "harmony",
    is_upgrade: bool = False,
    revision: int = 1,
) -> list[Manifest]:
    """What the chart makes of `values`, with its hooks, in the namespace `harmony-system`.

    Raises:
        helm_python.HelmError: The values are refused.
    """
    return _parsed(json.dumps(dict(values or {})), name, is_upgrade, revision)


@cache
def _parsed(values: str, name: str, is_upgrade: bool, revision: int) -> list[Manifest]:
    """Manifests; whoever wants to change one takes a copy."""
    found: list[Manifest] = []
    for path, text in render_files(values, name, is_upgrade, revision).items():
        if not path.endswith(".txt"):
            found += [document for document in yaml.load_all(text, yaml.CSafeLoader) if document]
    return found


@cache
def render_files(
    values: str, name: str = "harmony", is_upgrade: bool = False, revision: int = 1
) -> dict[str, str]:
    """Rendered files by template; `values` is JSON."""
    with helm_python.Chart.load(CHART) as chart:
        given = json.loads(values)
        chart.validate_schema(given)
        return chart.render(
            given,
            name=name,
            namespace="harmony-system",
            revision=revision,
            is_upgrade=is_upgrade,
            is_install=not is_upgrade,
        )


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    """The manifests of a kind."""
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def named(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    """The one manifest of a kind and name."""
    (found,) = (m for m in of_kind(manifests, kind) if m["metadata"]["name"] == name)
    return found


def secret_of(manifest: Manifest) -> dict[str, str]:
    """What a Secret holds, as text."""
    return {k: base64.b64decode(v).decode() for k, v in manifest["data"].items()}


def pod_specs(manifests: list[Manifest]) -> dict[str, Manifest]:
    """Pod specs by `Kind/name` of what makes the pods."""
    found = {}
    for manifest in manifests:
        label = f"{manifest['kind']}/{manifest['metadata']['name']}"
        if manifest["kind"] == "Pod":
            found[label] = manifest["spec"]
        elif "template" in (manifest.get("spec") or {}):
            found[label] = manifest["spec"]["template"]["spec"]
    return found


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool) else str(value or "")
