"""Kinds that the API server serves, and those of them that can be scaled."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from services.operator.wire.http import Call, KubeError, KubeHttp

_UNANSWERED = ("ReadTimeoutError", "NotReadYet")
_FRESH_S = 600.0
_RETRY_S = 30.0


@dataclass(frozen=True, slots=True)
class ServedKind:
    """A kind of one API version.

    Attributes:
        resource: Plural, as in paths and roles.
        has_scale: It has the subresource `scale`.
    """

    api_version: str
    kind: str
    resource: str
    is_namespaced: bool = True
    has_scale: bool = True

    @property
    def root(self) -> str:
        """Path of its API version."""
        return (
            f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"
        )

    @property
    def group(self) -> str:
        """API group; empty for the core group."""
        return self.api_version.rpartition("/")[0]

    @property
    def qualified(self) -> str:
        """As roles and people name it: `leaderworkersets.leaderworkerset.x-k8s.io`."""
        return f"{self.resource}.{self.group}" if self.group else self.resource


WELL_KNOWN = {
    (served.api_version, served.kind): served
    for served in (
        ServedKind("apps/v1", "Deployment", "deployments"),
        ServedKind("apps/v1", "StatefulSet", "statefulsets"),
        ServedKind("apps/v1", "ReplicaSet", "replicasets"),
    )
}
"""Kinds that every cluster serves: nothing is asked for them."""


def may_be_of_kind(error: KubeError, api_version: str, kind: str) -> bool:
    """True where a call was not answered in time, and its kind alone may be why.

    The API server asks a webhook to convert objects of a custom kind, and waits for it for longer
    than this process waits for the API server.
    """
    is_unanswered = error.status == 0 and error.reason in _UNANSWERED
    return is_unanswered and (api_version, kind) not in WELL_KNOWN


@dataclass(slots=True)
class _Version:
    read_s: float
    kinds: Mapping[str, ServedKind] = field(default_factory=dict)


class Discovery:
    """Looks kinds up and remembers them.

    What was found is read again every ten minutes; what was not, or cannot be scaled, every half
    minute, so that a CRD that is installed later is noticed soon. Discovery needs no right of its
    own: every account may read it.
    """

    def __init__(self, http: KubeHttp, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Ask over `http`; `monotonic` gives seconds."""
        self._http = http
        self._monotonic = monotonic
        self._versions: dict[str, _Version] = {}

    def find(self, api_version: str, kind: str) -> ServedKind | None:
        """The kind; None where the API server does not serve it.

        Raises:
            KubeError: It cannot be found out and was never known.
        """
        if (api_version, kind) in WELL_KNOWN:
            return WELL_KNOWN[api_version, kind]
        known = self._versions.get(api_version)
        found = None if known is None else known.kinds.get(kind)
        limit_s = _FRESH_S if found is not None and found.has_scale else _RETRY_S
        if known is None or self._monotonic() - known.read_s >= limit_s:
            try:
                known = self._read(api_version)
            except KubeError:
                if found is None:
                    raise
                return found
        return known.kinds.get(kind)

    def _read(self, api_version: str) -> _Version:
        root = ServedKind(api_version, "", "").root
        try:
            answer = self._http.send(Call("get", "discovery", root))
        except KubeError as error:
            if not error.is_missing:
                raise
            answer = {}
        entries = list(answer.get("resources") or ())
        scalable = {str(e["name"])[: -len("/scale")] for e in entries if _is_scale(e)}
        kinds = {
            str(entry["kind"]): ServedKind(
                api_version,
                str(entry["kind"]),
                str(entry["name"]),
                bool(entry.get("namespaced")),
                str(entry["name"]) in scalable,
            )
            for entry in entries
            if "/" not in str(entry["name"])
        }
        self._versions[api_version] = _Version(self._monotonic(), kinds)
        return self._versions[api_version]


def _is_scale(entry: Mapping[str, Any]) -> bool:
    verbs = entry.get("verbs") or ("get", "patch")
    return str(entry["name"]).endswith("/scale") and {"get", "patch"} <= set(verbs)
