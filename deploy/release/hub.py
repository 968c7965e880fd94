"""Annotations of the chart for Artifact Hub, made from what the repository has.

They are written into the packed chart alone: typed by hand they would grow stale.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from deploy.release.images import PublishedImage

_PREFIX = "artifacthub.io/"
_ENTRY = re.compile(r"^\* (.*(?:\n(?!\* |#|$).*)*)", re.M)
_LINK = re.compile(r"\[([^\]]+)\]\([^)]*\)")


def annotations(folder: Path, image: PublishedImage | None = None) -> dict[str, str]:
    """What Artifact Hub shows of the chart, by annotation; YAML in each.

    Args:
        folder: The repository of the release.
        image: Our image, where it is published.

    Raises:
        ValueError: There is no entry in the changelog, or no definition.
    """
    crds = _crds(folder / "helm" / "harmony" / "crds")
    found: dict[str, list[Any]] = {
        "changes": _changes((folder / "CHANGELOG.md").read_text()),
        "crds": [_described(crd) for crd in crds],
        "crdsExamples": _examples(folder / "deploy" / "examples", crds),
        "images": _images(folder / "helm" / "harmony" / "values.yaml", image),
    }
    for name, entries in found.items():
        if not entries:
            raise ValueError(f"{name}: nothing found for the chart's annotation")
    return {f"{_PREFIX}{name}": _dump(entries) for name, entries in found.items()}


def _dump(entries: list[Any]) -> str:
    return yaml.safe_dump(entries, sort_keys=False, allow_unicode=True, width=1000)


def _changes(changelog: str) -> list[str]:
    """Entries of the newest version, as plain text."""
    sections = re.split(r"^## ", changelog, flags=re.M)
    newest = sections[1] if len(sections) > 1 else ""
    return [_plain(entry) for entry in _ENTRY.findall(newest)]


def _plain(entry: str) -> str:
    text = _LINK.sub(r"\1", " ".join(entry.split()))
    return re.sub(r"\*\*|`", "", text)


def _crds(folder: Path) -> list[dict[str, Any]]:
    return [yaml.safe_load(path.read_text()) for path in sorted(folder.glob("*.yaml"))]


def _described(crd: dict[str, Any]) -> dict[str, str]:
    spec = crd["spec"]
    version = next(one for one in spec["versions"] if one["storage"])
    return {
        "kind": spec["names"]["kind"],
        "version": version["name"],
        "name": crd["metadata"]["name"],
        "displayName": spec["names"]["kind"],
        "description": version["schema"]["openAPIV3Schema"]["description"],
    }


def _examples(folder: Path, crds: list[dict[str, Any]]) -> list[Any]:
    """Example manifests of the chart's own kinds."""
    groups = {crd["spec"]["group"] for crd in crds}
    found = [yaml.safe_load(path.read_text()) for path in sorted(folder.glob("*.yaml"))]
    return [one for one in found if one["apiVersion"].partition("/")[0] in groups]


def _images(values: Path, image: PublishedImage | None) -> list[dict[str, str]]:
    """Images that the chart starts where nothing else is said; ours once it is published."""
    content = yaml.safe_load(values.read_text())
    own = [] if image is None else [{"name": "harmony", "image": f"{image.repository}:{image.tag}"}]
    return own + [{"name": name, "image": content[name]["image"]} for name in ("postgres", "redis")]
