"""Images of pods and nodes by one name each, and what a start had to do first; pure."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from services.kernel.domain.lead_time import COLD, RESTORED, WARM

Object = Mapping[str, Any]

RESTORE_LABELS = ("scaling.harmony.dev/restored", "nvidia.com/snapshot-is-restore-target")
"""Labels, or annotations, whose value `true` says that a pod is restored from a snapshot."""
_HUB, _LIBRARY = "docker.io", "library"


def images_of(spec: Object) -> tuple[str, ...]:
    """Images that a pod specification starts with, in order of their names."""
    names = {str(c["image"]) for c in spec.get("containers") or () if c.get("image")}
    return tuple(sorted(image_name(name) for name in names))


def images_on(status: Object) -> frozenset[str]:
    """Images that a node's status lists; a kubelet lists the fifty largest."""
    listed = status.get("images") or ()
    return frozenset(image_name(str(name)) for each in listed for name in each.get("names") or ())


def image_name(written: str) -> str:
    """The full name of an image: what is left out is the hub, its library and `latest`."""
    name, at, digest = written.partition("@")
    path, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:  # the colon of a port
        path, tag = name, ""
    first, slash, _ = path.partition("/")
    if not slash:
        path = f"{_HUB}/{_LIBRARY}/{path}"
    elif not ("." in first or ":" in first or first == "localhost"):
        path = f"{_HUB}/{path}"
    if at:
        return sys.intern(f"{path}@{digest}")
    return sys.intern(f"{path}:{tag or 'latest'}")


def is_restored(metadata: Object) -> bool:
    """Whether a pod says that it is restored from a snapshot."""
    given = (metadata.get("labels") or {}, metadata.get("annotations") or {})
    return any(
        str(each.get(name, "")).lower() == "true" for each in given for name in RESTORE_LABELS
    )


def has_images(on_node: frozenset[str], wanted: Sequence[str]) -> bool | None:
    """Whether a node has all images of a pod; None: one of them says nothing of its images."""
    return None if not on_node or not wanted else on_node.issuperset(wanted)


def cause_of(on_node: frozenset[str], wanted: Sequence[str], *, is_restored: bool) -> str | None:
    """Cause of a start that has just been given its node; None: nothing tells."""
    if is_restored:
        return RESTORED
    has_all = has_images(on_node, wanted)
    return None if has_all is None else WARM if has_all else COLD


def all_images(pods: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """Images of all pods of a replica."""
    return tuple(sorted({image for images in pods for image in images}))
