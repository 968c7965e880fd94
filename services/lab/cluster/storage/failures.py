"""Refusals of a Kubernetes API server: `Status` objects as exceptions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.lab.cluster.storage.resources import ResourceType


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason of an invalid object: the field and what is wrong with it."""

    field: str
    message: str
    reason: str = "FieldValueInvalid"

    @property
    def text(self) -> str:
        """The cause as one phrase of the message."""
        return f"{self.field}: {self.message}"


@dataclass(slots=True)
class ApiFailure(Exception):
    """A refusal: the HTTP code, the machine-readable reason and the words for a person."""

    code: int
    reason: str
    message: str
    details: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def status(self) -> dict[str, Any]:
        """The `Status` object of the answer."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "details": dict(self.details),
            "code": self.code,
        }


def _details(rtype: ResourceType, name: str, **more: Any) -> dict[str, Any]:
    details: dict[str, Any] = {"name": name, "kind": rtype.plural}
    if rtype.group:
        details["group"] = rtype.group
    return details | more


def not_found(rtype: ResourceType, name: str) -> ApiFailure:
    """404: there is no such object."""
    message = f'{rtype.qualified} "{name}" not found'
    return ApiFailure(404, "NotFound", message, _details(rtype, name))


def no_such_path() -> ApiFailure:
    """404: the server knows no such resource."""
    return ApiFailure(404, "NotFound", "the server could not find the requested resource")


def already_exists(rtype: ResourceType, name: str) -> ApiFailure:
    """409: an object of that name is there."""
    message = f'{rtype.qualified} "{name}" already exists'
    return ApiFailure(409, "AlreadyExists", message, _details(rtype, name))


def conflict(rtype: ResourceType, name: str, why: str = "") -> ApiFailure:
    """409: the write was based on another version of the object."""
    why = why or (
        "the object has been modified; please apply your changes to the latest version "
        "and try again"
    )
    message = f'Operation cannot be fulfilled on {rtype.qualified} "{name}": {why}'
    return ApiFailure(409, "Conflict", message, _details(rtype, name))


@dataclass(frozen=True, slots=True)
class FieldConflict:
    """A field that another manager owns, and the API version that it wrote it in."""

    manager: str
    api_version: str
    field: str

    @property
    def text(self) -> str:
        """In the API server's words, without the field."""
        return f'conflict with "{self.manager}" using {self.api_version}'


def manager_conflict(conflicts: Sequence[FieldConflict]) -> ApiFailure:
    """409 of server-side apply."""
    causes = [
        {"reason": "FieldManagerConflict", "message": one.text, "field": one.field}
        for one in conflicts
    ]
    n = len(conflicts)
    words = ", ".join(f"{one.text}: {one.field}" for one in conflicts)
    message = f"Apply failed with {n} conflict{'s' if n > 1 else ''}: {words}"
    return ApiFailure(409, "Conflict", message, {"causes": causes})


def invalid(rtype: ResourceType, name: str, causes: Sequence[Cause]) -> ApiFailure:
    """422: the object breaks its schema or a rule."""
    kind = f"{rtype.kind}.{rtype.group}" if rtype.group else rtype.kind
    texts = [cause.text for cause in causes]
    reasons = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    details = _details(rtype, name, kind=rtype.kind) | {
        "causes": [{"reason": c.reason, "message": c.message, "field": c.field} for c in causes]
    }
    return ApiFailure(422, "Invalid", f'{kind} "{name}" is invalid: {reasons}', details)


def unprocessable(message: str) -> ApiFailure:
    """422: a patch that cannot be carried out."""
    return ApiFailure(422, "Invalid", message)


def bad_request(message: str) -> ApiFailure:
    """400: the request makes no sense."""
    return ApiFailure(400, "BadRequest", message)


def unauthorized() -> ApiFailure:
    """401: no valid credentials."""
    return ApiFailure(401, "Unauthorized", "Unauthorized")


def forbidden(rtype_name: str, name: str, why: str) -> ApiFailure:
    """403: the user may not do that."""
    about = f'{rtype_name} "{name}"' if name else rtype_name
    message = f"{about} is forbidden: {why}"
    return ApiFailure(403, "Forbidden", message, {"name": name, "kind": rtype_name})


def method_not_allowed() -> ApiFailure:
    """405: the resource has no such verb."""
    message = "the server does not allow this method on the requested resource"
    return ApiFailure(405, "MethodNotAllowed", message)


def expired(message: str) -> ApiFailure:
    """410: the version asked for is no longer kept."""
    return ApiFailure(410, "Expired", message)


def unsupported_media_type(got: str, known: Sequence[str]) -> ApiFailure:
    """415: no such patch type here."""
    message = (
        f"the body of the request was in an unknown format ({got}) - accepted media types include: "
        + ", ".join(known)
    )
    return ApiFailure(415, "UnsupportedMediaType", message)


def too_many_requests(why: str, retry_after_s: int) -> ApiFailure:
    """429: come back later."""
    return ApiFailure(
        429,
        "TooManyRequests",
        why,
        {"retryAfterSeconds": retry_after_s},
        {"Retry-After": str(retry_after_s)},
    )


def internal_error(why: str) -> ApiFailure:
    """500: the server failed."""
    return ApiFailure(500, "InternalError", f"Internal error occurred: {why}")
