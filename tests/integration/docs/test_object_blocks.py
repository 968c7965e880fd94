"""Objects of ours that the documents show, whole and in parts, are admitted by an API server."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import yaml

from services.operator.resource.definitions import DEFINITIONS
from services.operator.resource.fields import API_VERSION
from tests.integration.examples.api_server import api_server
from tests.unit.docs.blocks import REPO, Block, in_language

pytestmark = pytest.mark.integration

Manifest = dict[str, Any]
PARTS = ("kind", "metadata", "indicatorsFrom")


def is_object(block: Block) -> bool:
    found = yaml.load(block.text, yaml.CSafeLoader)
    return any(part in found for part in PARTS)


BLOCKS = [b for b in in_language("yaml") if is_object(b)]


@pytest.fixture(scope="module")
def api() -> Iterator[httpx.Client]:
    with api_server() as client:
        yield client


def example(name: str) -> Manifest:
    return dict(yaml.safe_load((REPO / "deploy" / "examples" / name).read_text()))


def whole(found: Manifest) -> Manifest:
    """The object that a block is, or is a part of."""
    if "kind" in found:
        return found
    if "metadata" in found:
        return example("gpubudget.yaml") | found
    manifest = copy.deepcopy(example("vllm-presets.yaml"))
    manifest["spec"].pop("latencyIndicator", None)
    return manifest | {"spec": manifest["spec"] | found}


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_an_object_is_admitted_with_every_field(api: httpx.Client, block: Block) -> None:
    manifest = whole(yaml.safe_load(block.text))
    definition = next(d for d in DEFINITIONS if d.kind == manifest["kind"])
    scope = "namespaces/serving/" if definition.is_namespaced else ""
    path = f"/apis/{API_VERSION}/{scope}{definition.plural}"
    created = api.post(path, params={"dryRun": "All"}, json=manifest)
    assert created.status_code == 201, created.text
    # nothing was pruned: a misspelt field would vanish without a word
    assert is_within(manifest["spec"], created.json()["spec"])


def is_within(part: Any, whole: Any) -> bool:
    if isinstance(part, dict):
        return all(name in whole and is_within(part[name], whole[name]) for name in part)
    if isinstance(part, list):
        return len(part) == len(whole) and all(map(is_within, part, whole))
    return bool(part == whole)
