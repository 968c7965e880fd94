"""The schemas are structural, and the models admit what they admit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from services.kernel.domain.presets import REPLICA_PRESETS
from services.operator.resource.definitions import DEFINITIONS, GPU_AUTOSCALER, Definition, to_crd
from services.operator.resource.status import CONDITION_TYPES

ALLOWED = {
    "type", "properties", "items", "required", "enum", "default", "description", "format",
    "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems",
    "x-kubernetes-int-or-string", "x-kubernetes-validations", "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
}  # fmt: skip


def schema_of(definition: Definition) -> dict[str, Any]:
    (version,) = to_crd(definition)["spec"]["versions"]
    return dict(version["schema"]["openAPIV3Schema"])


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda d: d.kind)
def test_every_node_is_structural(definition: Definition) -> None:
    for path, node in nodes(schema_of(definition)):
        assert set(node) <= ALLOWED, path
        is_typed = isinstance(node.get("type"), str) or node.get("x-kubernetes-int-or-string")
        assert is_typed, path
        assert ("x-kubernetes-int-or-string" in node) != ("type" in node), path


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda d: d.kind)
def test_lists_are_bounded_so_that_rules_stay_cheap(definition: Definition) -> None:
    for path, node in nodes(schema_of(definition)):
        if node.get("type") == "array":
            assert "maxItems" in node or path.endswith("constraintsApplied"), path
        for key in node.get("x-kubernetes-list-map-keys", ()):
            assert key in node["items"]["required"], path


def test_the_columns_are_those_that_users_look_for() -> None:
    (version,) = to_crd(GPU_AUTOSCALER)["spec"]["versions"]
    names = [column["name"] for column in version["additionalPrinterColumns"]]
    assert names == [
        "TARGET", "MODE", "MIN", "MAX", "CURRENT", "DESIRED", "RISK", "BUDGET", "FALLBACK",
        "PAUSED", "WANTS", "READY", "REASON", "AGE",
    ]  # fmt: skip
    wide = [c["name"] for c in version["additionalPrinterColumns"] if c.get("priority")]
    assert wide == ["WANTS", "READY", "REASON"]
    assert version["subresources"] == {"status": {}}


def test_defaults_are_the_careful_ones() -> None:
    properties = schema_of(GPU_AUTOSCALER)["properties"]["spec"]["properties"]
    assert properties["mode"]["default"] == "Advisory"
    assert properties["minReplicas"]["default"] == 1
    assert "default" not in properties["maxReplicas"]


def test_presets_are_a_set_of_those_that_are_measured_at_the_replicas() -> None:
    properties = schema_of(GPU_AUTOSCALER)["properties"]["spec"]["properties"]
    assert properties["indicatorsFrom"]["x-kubernetes-list-type"] == "set"
    assert properties["indicatorsFrom"]["items"]["enum"] == sorted(REPLICA_PRESETS)


def test_condition_types_are_bounded_by_the_schema() -> None:
    conditions = schema_of(GPU_AUTOSCALER)["properties"]["status"]["properties"]["conditions"]
    assert len(CONDITION_TYPES) <= conditions["maxItems"]
