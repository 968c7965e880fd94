"""Digests of the images that ours is built on and that the chart starts, from a registry."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

_BASE = re.compile(r"^ARG PYTHON_IMAGE=(\S+)$", re.M)
_DIGEST = re.compile(r"^sha256:([0-9a-f]{64})$")
_ASKERS: tuple[tuple[str, Callable[[str], list[str]]], ...] = (
    ("skopeo", lambda name: ["skopeo", "inspect", "--format", "{{.Digest}}", f"docker://{name}"]),
    (
        "docker",
        lambda name: [
            *("docker", "buildx", "imagetools", "inspect"),
            *("--format", "{{.Manifest.Digest}}", name),
        ],
    ),
)
Run = Callable[[Sequence[str]], str]


@dataclass(frozen=True, slots=True)
class PublishedImage:
    """Our image where it is published.

    Attributes:
        repository: Its name without a tag.
        tag: Its tag.
        digest: SHA-256 of its manifest, in hexadecimal.
    """

    repository: str
    tag: str
    digest: str


def references(folder: Path) -> list[str]:
    """Images by tag: the base of ours, and those of the chart's own servers."""
    (base,) = _BASE.findall((folder / "deploy" / "docker" / "Dockerfile").read_text())
    values = yaml.safe_load((folder / "helm" / "harmony" / "values.yaml").read_text())
    return sorted({base, values["postgres"]["image"], values["redis"]["image"]})


def own_reference(folder: Path, repository: str) -> str:
    """Our image by tag, where it is published under the chart's own version."""
    chart = yaml.safe_load((folder / "helm" / "harmony" / "Chart.yaml").read_text())
    return f"{repository}:{chart['appVersion']}"


def find_own(folder: Path, digests: Mapping[str, str]) -> PublishedImage | None:
    """Our image among those whose digests are known; None: it is not published."""
    own = sorted(set(digests) - set(references(folder)))
    if not own:
        return None
    repository, _, tag = own[0].rpartition(":")
    return PublishedImage(repository, tag, digests[own[0]])


def resolve(names: Sequence[str], run: Run | None = None) -> dict[str, str]:
    """The digest of each image, by asking its registry; none is ever typed by hand.

    Args:
        names: References by tag.
        run: Runs a command and gives what it prints; None: as a process.

    Raises:
        ValueError: No program can ask, or a registry gives no digest.
    """
    program = next((name for name, _ in _ASKERS if run is not None or shutil.which(name)), None)
    if program is None:
        raise ValueError(
            "digests of the base images are not known: install skopeo, or docker with buildx; "
            "a release without them is refused"
        )
    command = dict(_ASKERS)[program]
    found = {}
    for name in names:
        answer = (run or _run)(command(name)).strip()
        match = _DIGEST.match(answer)
        if match is None:
            raise ValueError(f"{name}: the registry gave no digest but {answer[:80]!r}")
        found[name] = match[1]
    return found


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ValueError(f"{command[-1]}: no registry answered: {last}")
    return done.stdout
