"""From an HTTP request to what it asks of which resource."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.lab.cluster.admission.access import Question
from services.lab.cluster.storage import failures
from services.lab.cluster.storage.resources import Registry, ResourceType

_ITEM_VERBS = {"GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_COLLECTION_VERBS = {"GET": "list", "POST": "create", "DELETE": "deletecollection"}
_TRUE = ("true", "True", "1")


@dataclass(frozen=True, slots=True)
class ApiCall:
    """A request about a resource."""

    rtype: ResourceType
    verb: str
    namespace: str
    name: str
    subresource: str
    query: Mapping[str, str]

    @property
    def question(self) -> Question:
        """The call as authorisation sees it."""
        return Question(
            self.verb,
            self.rtype.group,
            self.rtype.plural,
            self.subresource,
            self.namespace,
            self.name,
        )

    def has(self, option: str) -> bool:
        """Check whether a boolean query option is on."""
        return self.query.get(option, "") in _TRUE


@dataclass(frozen=True, slots=True)
class Place:
    """A path below an API version; empty `plural` asks for discovery."""

    group: str
    version: str
    parts: tuple[str, ...]


def parse_path(path: str) -> Place | None:
    """Split `/api/v1/...` or `/apis/GROUP/VERSION/...`; None for any other path."""
    parts = tuple(part for part in path.split("/") if part)
    if len(parts) >= 2 and parts[0] == "api":
        return Place("", parts[1], parts[2:])
    if len(parts) >= 3 and parts[0] == "apis":
        return Place(parts[1], parts[2], parts[3:])
    return None


def parse_call(registry: Registry, method: str, place: Place, query: Mapping[str, str]) -> ApiCall:
    """Parsed address of a request.

    Raises:
        ApiFailure: 404 for an unknown resource, 405 for a method that it has not.
    """
    parts, namespace = place.parts, ""
    if len(parts) >= 3 and parts[0] == "namespaces" and parts[2] not in ("status", "finalize"):
        namespace, parts = parts[1], parts[2:]
    rtype = registry.find(place.group, place.version, parts[0])
    if rtype is None or len(parts) > 3 or (namespace and not rtype.is_namespaced):
        raise failures.no_such_path()
    name = parts[1] if len(parts) > 1 else ""
    subresource = parts[2] if len(parts) > 2 else ""
    if name and rtype.is_namespaced and not namespace:
        raise failures.no_such_path()
    if subresource and not _has_subresource(rtype, subresource):
        raise failures.no_such_path()
    verb = (_ITEM_VERBS if name else _COLLECTION_VERBS).get(method)
    if subresource in ("eviction", "token"):
        verb = {"POST": "create"}.get(method)
    if method == "GET" and query.get("watch", "") in _TRUE and not subresource:
        verb = "watch"
    is_named_watch = verb == "watch" and name
    if verb is None or (not subresource and verb not in rtype.verbs and not is_named_watch):
        raise failures.method_not_allowed()
    if subresource in ("status", "scale") and verb == "delete":
        raise failures.method_not_allowed()
    if verb == "create" and rtype.is_namespaced and not namespace:
        raise failures.method_not_allowed()
    return ApiCall(rtype, verb, namespace, name, subresource, query)


def _has_subresource(rtype: ResourceType, subresource: str) -> bool:
    return (
        (subresource == "status" and rtype.has_status)
        or (subresource == "scale" and rtype.scale is not None)
        or (subresource == "eviction" and rtype.kind == "Pod")
        or (subresource == "token" and rtype.kind == "ServiceAccount")
    )
