"""A cluster under test: the simulated one, or a real one named by KUBECONFIG."""

from __future__ import annotations

import itertools
import os
import ssl
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, TypeVar

import httpx
import kubernetes
import orjson
import pytest

T = TypeVar("T")
Obj = dict[str, Any]

MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
POD_IMAGE = os.environ.get("HARMONY_CONFORMANCE_IMAGE", "pause")
"""Image of the suite's pods; a real cluster needs one that it can run."""
GROUP = "conformance.harmony.dev"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@dataclass
class ClusterUnderTest:
    """Raw HTTP and the typed client against one cluster.

    `lab_start` is None for a real cluster, whose time nobody moves.
    """

    http: httpx.Client
    client: kubernetes.client.ApiClient
    lab_start: datetime | None
    namespace: str = ""
    _names: Iterator[int] = field(default_factory=itertools.count)
    _lab_now: datetime | None = None

    @property
    def is_lab(self) -> bool:
        return self.lab_start is not None

    def now(self) -> datetime:
        """The cluster's time."""
        return self._lab_now or self.lab_start or datetime.now(UTC)

    @cached_property
    def has_rules(self) -> bool:
        """Whether the server keeps and runs CEL rules of definitions: from Kubernetes 1.25 on."""
        body = definition()
        body["metadata"]["name"] = f"ruled.{GROUP}"
        body["spec"]["names"] = {"plural": "ruled", "kind": "Ruled"}
        kept = self.do("POST", DEFINITIONS, body, dryRun="All")["spec"]["versions"][0]
        schema = kept["schema"]["openAPIV3Schema"]["properties"]["spec"]
        return "x-kubernetes-validations" in schema

    def name(self, stem: str) -> str:
        return f"{stem}-{next(self._names)}-{uuid.uuid4().hex[:6]}"

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        media_type = options.pop("media_type", "application/json")
        headers = {"Content-Type": media_type, **options.pop("headers", {})}
        content = orjson.dumps(body) if body is not None else None
        # a client certificate would speak for its owner, whatever the header says
        http = self.without_credentials if "Authorization" in headers else self.http
        return http.request(method, path, content=content, headers=headers, params=options)

    @cached_property
    def without_credentials(self) -> httpx.Client:
        """A client that is nobody until a header says who."""
        given: kubernetes.client.Configuration = self.client.configuration
        verify: bool | ssl.SSLContext = False
        if given.ssl_ca_cert:
            verify = ssl.create_default_context(cafile=given.ssl_ca_cert)
        return httpx.Client(base_url=given.host, verify=verify, timeout=30, trust_env=False)

    def needs_rules(self) -> None:
        """Skips on a server that has neither CEL rules nor field validation."""
        if not self.has_rules:
            pytest.skip("the server is older than CEL rules (Kubernetes 1.25)")

    def do(self, method: str, path: str, body: Any = None, **options: Any) -> Obj:
        """A call that must succeed."""
        response = self.call(method, path, body, **options)
        assert response.is_success, f"{method} {path}: {response.status_code} {response.text}"
        return response.json()

    def refuse(self, code: int, method: str, path: str, body: Any = None, **options: Any) -> Obj:
        """A call that must fail with `code`; returns the Status."""
        response = self.call(method, path, body, **options)
        assert response.status_code == code, f"{response.status_code} {response.text}"
        status = response.json()
        assert status["kind"] == "Status"
        assert status["status"] == "Failure"
        assert status["code"] == code
        return status

    def advance(self, seconds: float) -> Obj:
        """Move the laboratory's time; skips on a real cluster."""
        if self.lab_start is None:
            pytest.skip("only the laboratory can move time")
        self._lab_now = (self._lab_now or self.lab_start) + timedelta(seconds=seconds)
        return self.do("POST", "/lab/advance", {"to": self._lab_now.isoformat()})

    def eventually(self, look: Callable[[], T], limit_s: float = 120.0) -> T:
        """The first true answer of `look`; a second of the cluster's time passes between looks."""
        n_looks = int(limit_s)
        for _ in range(n_looks):
            if found := look():
                return found
            if self.is_lab:
                self.advance(1.0)
            else:
                time.sleep(1.0)
        raise AssertionError(f"nothing after {n_looks} looks, last answer {look()!r}")

    def watch(self, path: str, **options: Any) -> list[Obj]:
        """Every event of a watch until it ends by itself."""
        headers = options.pop("headers", None)
        params = {"watch": "true", "timeoutSeconds": 1, **options}
        with self.http.stream("GET", path, params=params, headers=headers, timeout=90) as response:
            assert response.status_code == 200
            return [orjson.loads(line) for line in response.iter_lines() if line]

    # -- paths -----------------------------------------------------------------------------------

    def core(self, resource: str, name: str = "", sub: str = "") -> str:
        return _path(f"/api/v1/namespaces/{self.namespace}/{resource}", name, sub)

    def apps(self, resource: str, name: str = "", sub: str = "") -> str:
        return _path(f"/apis/apps/v1/namespaces/{self.namespace}/{resource}", name, sub)

    def gadgets(self, name: str = "", sub: str = "") -> str:
        return _path(f"/apis/{GROUP}/v1/namespaces/{self.namespace}/gadgets", name, sub)

    # -- manifests -------------------------------------------------------------------------------

    def gadget(self, name: str, **spec: Any) -> Obj:
        return {
            "apiVersion": f"{GROUP}/v1",
            "kind": "Gadget",
            "metadata": {"name": name},
            "spec": {"size": 3, **spec},
        }

    def config_map(self, name: str, **metadata: Any) -> Obj:
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, **metadata},
            "data": {"a": "1"},
        }

    def deployment(self, name: str, replicas: int = 1, **pod: Any) -> Obj:
        labels = {"app": name}
        startup = {"lab.harmony.dev/startup-median": "3s"}
        container = {"name": "main", "image": POD_IMAGE, **pod.pop("container", {})}
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels, "annotations": startup},
                    "spec": {"containers": [container], **pod},
                },
            },
        }

    def pods(self, app: str) -> list[Obj]:
        return self.do("GET", self.core("pods"), labelSelector=f"app={app}")["items"]

    def ready_pods(self, app: str) -> list[Obj]:
        return [pod for pod in self.pods(app) if is_ready(pod)]


def _path(base: str, name: str, sub: str) -> str:
    return "/".join(part for part in (base, name, sub) if part)


def is_ready(pod: Obj) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def definition() -> Obj:
    """A custom resource with all that the suite needs."""
    name = {"type": "string"}
    part = {
        "type": "object",
        "required": ["name"],
        "properties": {"name": name, "weight": {"type": "integer", "default": 1}},
    }
    spec = {
        "type": "object",
        "required": ["size"],
        "properties": {
            "size": {"type": "integer", "minimum": 0, "maximum": 100},
            "floor": {"type": "integer", "default": 0},
            "mode": {"type": "string", "enum": ["Advisory", "Auto"], "default": "Advisory"},
            "share": {"type": "number"},
            "label": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 8},
            "limits": {
                "type": "object",
                "additionalProperties": {"x-kubernetes-int-or-string": True},
            },
            "parts": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
                "items": part,
            },
        },
        "x-kubernetes-validations": [
            {"rule": "self.floor <= self.size", "message": "floor must be at most size"},
            {"rule": "!has(self.share) || self.share < 1.0", "message": "share must be below 1"},
            {
                "rule": "!has(oldSelf.label) || has(self.label)",
                "message": "label cannot be taken away",
            },
        ],
    }
    status = {
        "type": "object",
        "properties": {
            "size": {"type": "integer"},
            "selector": {"type": "string"},
            "note": {"type": "string"},
        },
    }
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {
            "openAPIV3Schema": {
                "type": "object",
                "required": ["spec"],
                "properties": {"spec": spec, "status": status},
            }
        },
        "additionalPrinterColumns": [
            {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
            {"name": "Note", "type": "string", "jsonPath": ".status.note", "priority": 1},
            {"name": "Heavy", "type": "integer", "jsonPath": '.spec.parts[?(@.name=="a")].weight'},
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        ],
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.size",
                "statusReplicasPath": ".status.size",
                "labelSelectorPath": ".status.selector",
            },
        },
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"gadgets.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"plural": "gadgets", "kind": "Gadget", "shortNames": ["gd"]},
            "versions": [version],
        },
    }


def raw_client(configuration: kubernetes.client.Configuration) -> httpx.Client:
    """Plain HTTP with the credentials of a kubeconfig."""
    verify: bool | ssl.SSLContext = False
    if configuration.ssl_ca_cert:
        verify = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
        if configuration.cert_file:
            verify.load_cert_chain(configuration.cert_file, configuration.key_file)
    headers = {"User-Agent": "conformance/1"}
    token = configuration.get_api_key_with_prefix("BearerToken")
    if token:
        headers["Authorization"] = token
    return httpx.Client(
        base_url=configuration.host, verify=verify, headers=headers, timeout=30, trust_env=False
    )


def lab_start() -> datetime:
    return datetime(2026, 1, 5, tzinfo=UTC)
