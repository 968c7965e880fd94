"""The chart's CRDs equal the models; `make golden` writes them again."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml

from services.operator.resource.definitions import DEFINITIONS, main, manifests, rendered

FOLDER = Path(__file__).parents[2] / "helm" / "harmony" / "crds"


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    return rendered()


def test_every_file_is_of_a_definition(texts: dict[str, str]) -> None:
    if os.environ.get("HARMONY_UPDATE_GOLDEN"):
        main([])
    assert {path.name for path in FOLDER.glob("*.yaml")} == set(texts)


@pytest.mark.parametrize("name", sorted(f"{one.plural}.yaml" for one in DEFINITIONS))
def test_the_file_is_what_the_models_say(name: str, texts: dict[str, str]) -> None:
    stored = (FOLDER / name).read_text()
    assert stored == texts[name], "run `python -m services.operator.resource.definitions`"


def test_what_is_created_without_a_file_is_the_same(texts: dict[str, str]) -> None:
    written = [yaml.load(text, yaml.CSafeLoader) for text in texts.values()]
    assert json.loads(json.dumps(manifests())) == written
