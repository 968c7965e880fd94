"""The laboratory's definitions and objects beside an excerpt of Kueue's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from services.lab.cluster.controllers.kueue_definitions import definitions
from services.lab.cluster.storage.failures import ApiFailure
from tests.unit.lab.cluster.controllers.queued import QueuedCluster

UPSTREAM = json.loads(Path(__file__).with_name("kueue_crds.json").read_text())
VERSIONS = ("v1beta1", "v1beta2")


def upstream(kind: str, version: str) -> dict[str, Any]:
    """Kueue's schema of a kind; where both versions are alike the excerpt has one."""
    of_kind = UPSTREAM["kinds"][kind]
    parts = of_kind.get(version, of_kind["v1beta1"])
    return {"type": "object", "properties": parts, "definitions": UPSTREAM["definitions"]}


def resolved(schema: Any) -> Any:
    """A schema with its references filled in."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            return resolved(UPSTREAM["definitions"][schema["$ref"].rpartition("/")[2]])
        return {name: resolved(each) for name, each in schema.items() if name != "definitions"}
    return [resolved(each) for each in schema] if isinstance(schema, list) else schema


def fields(schema: dict[str, Any], path: str = "") -> dict[str, str]:
    """Type, or its alternatives, of every field below a schema."""
    found: dict[str, str] = {}
    for name, each in (schema.get("properties") or {}).items():
        at = f"{path}.{name}"
        found[at] = str(each.get("type") or each.get("anyOf"))
        found |= fields(each.get("items") or each, at)
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_every_field_is_one_of_kueues_with_its_type(version: str) -> None:
    for definition in definitions(version):
        own = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        theirs = fields(resolved(upstream(definition["spec"]["names"]["kind"], version)))
        ours = fields(own)
        assert ours.items() <= theirs.items(), ours.items() - theirs.items()


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_published_is_as_kueues_schema_has_it(version: str) -> None:
    cluster = QueuedCluster(version)
    cluster.add_queue("team-a", 2, cohort="all", borrowingLimit=1)
    cluster.deploy("team-a", 4)
    cluster.wait(10)
    for kind, rtype in cluster.types.items():
        validator = jsonschema.Draft7Validator(upstream(kind, version))
        for stored in cluster.store.each(rtype):
            assert [error.message for error in validator.iter_errors(stored.obj)] == []
    status = cluster.status("team-a")
    assert status["flavorsReservation"] == status["flavorsUsage"]


def test_scopes_and_names() -> None:
    found = {each["metadata"]["name"]: each["spec"]["scope"] for each in definitions()}
    assert found == {
        "localqueues.kueue.x-k8s.io": "Namespaced",
        "clusterqueues.kueue.x-k8s.io": "Cluster",
        "resourceflavors.kueue.x-k8s.io": "Cluster",
    }


def test_a_quota_needs_an_amount() -> None:
    cluster = QueuedCluster()
    flavors = [{"name": "h100", "resources": [{"name": "nvidia.com/gpu"}]}]
    spec = {"resourceGroups": [{"coveredResources": ["nvidia.com/gpu"], "flavors": flavors}]}
    with pytest.raises(ApiFailure, match="nominalQuota"):
        cluster.create(cluster.types["ClusterQueue"], "team-a", spec)
