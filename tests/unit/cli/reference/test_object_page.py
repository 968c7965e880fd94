"""The page of Kubernetes objects has every field of every definition."""

from __future__ import annotations

from pathlib import Path

import yaml

from services.cli.reference.object_page import object_page
from services.cli.reference.stage import REPOSITORY

DEFINITION = """
spec:
  group: example.org
  scope: Namespaced
  names: {kind: Thing, shortNames: [th]}
  versions:
    - name: v1
      schema:
        openAPIV3Schema:
          properties:
            spec:
              required: [size]
              properties:
                size: {type: integer, default: 3, description: "How large | how <wide>"}
                mode: {enum: [A, B]}
                parts:
                  type: array
                  items: {type: object, properties: {name: {type: string}}}
"""


def test_a_definition_is_a_table(tmp_path: Path) -> None:
    (tmp_path / "things.yaml").write_text(DEFINITION)
    page = object_page(tmp_path)
    assert "Group `example.org`, namespaced, short name `th`." in page
    size = "| `spec.size` | integer, required | `3` | How large \\| how &lt;wide> |"
    assert size in page
    assert "| `spec.mode` | one of `A`, `B` |  |  |" in page
    assert "| `spec.parts[]` | list of objects |  |  |" in page
    assert "| `spec.parts[].name` | string |  |  |" in page


def test_every_definition_of_the_chart_is_there() -> None:
    folder = REPOSITORY / "helm" / "harmony" / "crds"
    page = object_page(folder)
    for path in folder.glob("*.yaml"):
        assert f"\n## {yaml.safe_load(path.read_text())['spec']['names']['kind']}\n" in page
    assert "`spec.sla.objective.goals[].threshold`" in page
