"""The time that a pod has to finish its requests once it is told to end, pure.

The kubelet runs `lifecycle.preStop`, then sends SIGTERM, and kills what still runs when
`terminationGracePeriodSeconds` have passed since the deletion; both count into the same time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Object = Mapping[str, Any]

DEFAULT_GRACE_S = 30.0
"""What the API server fills in where a template says nothing."""
_LEAST_GRACE_S = 1.0
"""What Kubernetes takes a negative one as."""
_TOO_LONG_S = 2**63
"""The field of a pod is an integer of 64 bits. As a float the longest one is rounded to this."""
_TEMPLATES = (
    ("template",),
    ("leaderWorkerTemplate", "leaderTemplate"),
    ("leaderWorkerTemplate", "workerTemplate"),
)


@dataclass(frozen=True, slots=True)
class Grace:
    """Grace of a target's pods.

    Attributes:
        seconds: From the deletion of a pod to the end of its containers, at the latest.
        field: Path of the field in the target.
        has_pre_stop: One of its containers has a hook that runs before SIGTERM.
    """

    seconds: float
    field: str
    has_pre_stop: bool


def grace_of(resource: Object) -> Grace | None:
    """The shortest grace of the target's own templates; None where it has none.

    Raises:
        ValueError: A template of a custom kind asks for a grace that no pod can have.
    """
    found = []
    for path in _TEMPLATES:
        template: Any = resource.get("spec")
        for name in path:
            template = template.get(name) if isinstance(template, Mapping) else None
        spec = template.get("spec") if isinstance(template, Mapping) else None
        if isinstance(spec, Mapping) and spec.get("containers"):
            found.append(_of_spec(spec, f"spec.{'.'.join(path)}.spec"))
    return min(found, key=lambda grace: grace.seconds, default=None)


def _of_spec(spec: Object, path: str) -> Grace:
    field = f"{path}.terminationGracePeriodSeconds"
    written = spec.get("terminationGracePeriodSeconds")
    number = float(written) if isinstance(written, str) else written
    if number is None:
        number = DEFAULT_GRACE_S
    if not -_TOO_LONG_S <= number < _TOO_LONG_S:
        raise ValueError(f"{field}={written!r:.32} must be a number of seconds, e.g. 30")
    hooks = ((each.get("lifecycle") or {}).get("preStop") for each in spec["containers"])
    return Grace(float(number) if number >= 0 else _LEAST_GRACE_S, field, any(hooks))
