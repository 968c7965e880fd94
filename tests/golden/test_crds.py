"""The chart's CRDs equal the models; `make golden` writes them again."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml

from services.operator.resource.definitions import main, manifests, rendered

FOLDER = Path(__file__).parents[2] / "helm" / "harmony" / "crds"


def test_every_file_is_of_a_definition() -> None:
    if os.environ.get("HARMONY_UPDATE_GOLDEN"):
        main([])
    assert {path.name for path in FOLDER.glob("*.yaml")} == set(rendered())


@pytest.mark.parametrize("name", sorted(rendered()))
def test_the_file_is_what_the_models_say(name: str) -> None:
    stored = (FOLDER / name).read_text()
    assert stored == rendered()[name], "run `python -m services.operator.resource.definitions`"


def test_what_is_created_without_a_file_is_the_same() -> None:
    written = [yaml.safe_load(text) for text in rendered().values()]
    assert json.loads(json.dumps(manifests())) == written
