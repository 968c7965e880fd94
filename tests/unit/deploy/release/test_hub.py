"""What Artifact Hub shows of the chart is what the repository has."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.release.hub import annotations
from deploy.release.images import PublishedImage
from services.operator.resource.definitions import DEFINITIONS
from tests.unit.deploy.chart import REPO


def read(found: dict[str, str], name: str) -> list[Any]:
    return list(yaml.safe_load(found[f"artifacthub.io/{name}"]))


def test_definitions_examples_images_and_changes_are_there() -> None:
    found = annotations(REPO)
    crds = read(found, "crds")
    assert {crd["kind"] for crd in crds} == {d.kind for d in DEFINITIONS}
    assert all(crd["description"] and crd["name"].endswith(".scaling.harmony.dev") for crd in crds)
    examples = read(found, "crdsExamples")
    assert {one["kind"] for one in examples} == {d.kind for d in DEFINITIONS}
    values = yaml.safe_load((REPO / "helm/harmony/values.yaml").read_text())
    images = {one["name"]: one["image"] for one in read(found, "images")}
    assert images == {name: values[name]["image"] for name in ("postgres", "redis")}
    changes = read(found, "changes")
    assert len(changes) > 10
    assert not [text for text in changes if "**" in text or "](" in text or "`" in text]


def copied(tmp_path: Path) -> Path:
    for name in ("helm/harmony/crds", "deploy/examples"):
        shutil.copytree(REPO / name, tmp_path / name)
    shutil.copy(REPO / "helm/harmony/values.yaml", tmp_path / "helm/harmony/values.yaml")
    return tmp_path


def test_only_the_newest_version_of_the_changelog_is_told(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    text = "# C\n\n## 2\n\n* **New** [thing](a.md): one\n  two.\n* `Next`.\n\n## 1\n\n* Old.\n"
    (folder / "CHANGELOG.md").write_text(text)
    assert read(annotations(folder), "changes") == ["New thing: one two.", "Next."]


def test_a_changelog_without_an_entry_is_refused(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    (folder / "CHANGELOG.md").write_text("# Changelog\n\n## 2\n")
    with pytest.raises(ValueError, match="changes: nothing found"):
        annotations(folder)


def test_our_image_is_told_once_it_is_published() -> None:
    image = PublishedImage("registry.example.com/harmony", "0.1.0", "ab" * 32)
    first, *others = read(annotations(REPO, image), "images")
    assert first == {"name": "harmony", "image": "registry.example.com/harmony:0.1.0"}
    assert others == read(annotations(REPO), "images")
