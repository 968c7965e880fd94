"""Errors that reach a user, each with a stable code, a message and what would be right."""

from __future__ import annotations

from collections.abc import Sequence


class HarmonyError(Exception):
    """A problem that the user can act on.

    Shells map it at their edge: HTTP to problem+json, the command line to one line and exit
    code 2, a custom resource to a condition.

    Args:
        message: One line naming the field, the value and what would be right.
    """

    code = "harmony_error"
    http_status = 500

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidInput(HarmonyError):
    """The caller sent something that cannot be used.

    Args:
        message: One line naming the field, the value and what would be right.
        pointer: JSON pointer to the field of the body, e.g. `/min_replicas`; empty: not of a body.
    """

    code = "invalid_input"
    http_status = 422

    def __init__(self, message: str, pointer: str = "") -> None:
        super().__init__(message)
        self.pointer = pointer


class BadRequest(HarmonyError):
    """A request that cannot be read, or of which a part was refused; do not send it again."""

    code = "bad_request"
    http_status = 400


class UnsupportedMediaType(HarmonyError):
    """The body has a type or an encoding that is not read here."""

    code = "unsupported_media_type"
    http_status = 415


class NotFound(HarmonyError):
    """The named object does not exist."""

    code = "not_found"
    http_status = 404


class Conflict(HarmonyError):
    """The object's state does not allow this."""

    code = "conflict"
    http_status = 409


class Ambiguous(HarmonyError):
    """Several clusters have one of this; `?cluster=` says which is meant.

    Args:
        message: Names the clusters.
        clusters: Names that may be given.
    """

    code = "ambiguous_cluster"
    http_status = 409

    def __init__(self, message: str, clusters: Sequence[str]) -> None:
        super().__init__(message)
        self.clusters = tuple(clusters)


class Unauthorized(HarmonyError):
    """No valid credential.

    Args:
        message: What is said to the caller, the same whatever was wrong.
        reason: What was wrong, in one word, for the server's log only.
    """

    code = "unauthorized"
    http_status = 401

    def __init__(self, message: str, reason: str = "no_credential") -> None:
        super().__init__(message)
        self.reason = reason


class Forbidden(HarmonyError):
    """A valid credential without the needed role."""

    code = "forbidden"
    http_status = 403


class TooManyRequests(HarmonyError):
    """More requests than are allowed; `Retry-After` says when to come back.

    Args:
        message: Which limit was passed.
        retry_after_s: Seconds until the next request is allowed.
    """

    code = "too_many_requests"
    http_status = 429

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Overloaded(HarmonyError):
    """Too many requests are being served; `Retry-After` says when to come back.

    Args:
        message: What is being waited for.
        retry_after_s: Seconds until it is worth another try.
    """

    code = "overloaded"
    http_status = 503

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class PreconditionRequired(HarmonyError):
    """An update without `If-Match`: it could overwrite what the caller has not seen."""

    code = "precondition_required"
    http_status = 428


class PreconditionFailed(HarmonyError):
    """The object is not, or no longer, the version that `If-Match` names."""

    code = "precondition_failed"
    http_status = 412


class PayloadTooLarge(HarmonyError):
    """The request body is over the limit."""

    code = "payload_too_large"
    http_status = 413


class Unavailable(HarmonyError):
    """A server that Harmony depends on cannot be reached."""

    code = "unavailable"
    http_status = 503


class ConfigurationError(HarmonyError):
    """A setting is wrong."""

    code = "configuration_error"
    http_status = 500
