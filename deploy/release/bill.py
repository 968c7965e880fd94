"""Bills of materials in CycloneDX: what an artifact is, and what it takes with it where it runs."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import yaml
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.release.artifacts import MIXIN, Source
from deploy.release.provenance import digest

_DISTRIBUTION = "harmony-gpu"
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)$", re.M)
_SERIALS = uuid.UUID("6f1c1d5e-6d0d-4e0c-9d2f-0f9a5c3b7a11")
"""Namespace of the serial numbers: one for each content of an artifact."""


def make_bill(artifact: Path, source: Source) -> str:
    """The bill of an artifact, as JSON; equal for equal artifacts.

    A package's or chart's components are those of the versions that are tested together; a mixin
    takes nothing along.
    """
    found: list[Component] = []
    if artifact.suffix != ".tgz":
        found = list(_packages(source.folder, ()))
    elif not artifact.name.startswith(MIXIN):
        found = list(_images(source.folder))
    sha256 = digest(artifact)
    bill = Bom(
        components=sorted(found, key=lambda each: each.name),
        serial_number=uuid.uuid5(_SERIALS, sha256),
    )
    bill.metadata.timestamp = datetime.fromtimestamp(source.epoch_s, UTC)
    bill.metadata.component = Component(
        name=artifact.name,
        type=ComponentType.FILE,
        bom_ref=sha256,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256)],
    )
    bill.register_dependency(bill.metadata.component, bill.components)
    return JsonV1Dot6(bill).output_as_string(indent=2) + "\n"


def closure(extras: Iterable[str]) -> set[str]:
    """Names of all packages that Harmony with these extras needs here, as installed."""
    wanted = [(canonicalize_name(_DISTRIBUTION), frozenset(extras))]
    seen: set[tuple[str, frozenset[str]]] = set()
    while wanted:
        each = wanted.pop()
        if each not in seen:
            seen.add(each)
            wanted += _needs(*each)
    return {name for name, _ in seen} - {canonicalize_name(_DISTRIBUTION)}


def _needs(name: str, extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    for text in metadata.requires(name) or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield canonicalize_name(requirement.name), frozenset(requirement.extras)


def pinned(folder: Path) -> dict[str, str]:
    """Versions of the constraints file by canonical name."""
    found = _PINNED.findall((folder / "constraints.txt").read_text())
    return {canonicalize_name(name): version for name, version in found}


def _packages(folder: Path, extras: Iterable[str]) -> Iterator[Component]:
    versions = pinned(folder)
    for name in closure(extras):
        version = versions.get(name)  # of torch there is a range only
        url = PackageURL("pypi", name=name, version=version)
        yield Component(
            name=name, version=version, type=ComponentType.LIBRARY, purl=url, bom_ref=str(url)
        )


def _images(folder: Path) -> Iterator[Component]:
    values = yaml.safe_load((folder / "helm" / "harmony" / "values.yaml").read_text())
    for part in ("postgres", "redis"):
        name, _, version = values[part]["image"].partition(":")
        yield Component(
            name=name, version=version, type=ComponentType.CONTAINER, bom_ref=f"{name}:{version}"
        )
