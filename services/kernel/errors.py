"""Errors that reach a user, each with a stable code, a message and what would be right."""

from __future__ import annotations


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
    """The caller sent something that cannot be used."""

    code = "invalid_input"
    http_status = 422


class NotFound(HarmonyError):
    """The named object does not exist."""

    code = "not_found"
    http_status = 404


class Conflict(HarmonyError):
    """The object's state does not allow this."""

    code = "conflict"
    http_status = 409


class Unauthorized(HarmonyError):
    """No valid credential."""

    code = "unauthorized"
    http_status = 401


class Forbidden(HarmonyError):
    """A valid credential without the needed role."""

    code = "forbidden"
    http_status = 403


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
