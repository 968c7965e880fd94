"""Requests and settings that the decider refuses; bad content of one workload is a hold instead."""

from __future__ import annotations


class DeciderError(ValueError):
    """The request or the configuration cannot be used."""


class InvalidRequest(DeciderError):
    """A field of a request has the wrong shape or an impossible value."""


def require(holds: bool, message: str) -> None:
    """Raise `InvalidRequest` with `message` unless `holds`."""
    if not holds:
        raise InvalidRequest(message)


class InvalidConfig(DeciderError):
    """A field of the configuration has an impossible value."""


class ReplayMismatch(DeciderError):
    """The stored inputs cannot be read back: wrong format or version."""


class PosteriorNotConverged(DeciderError):
    """A posterior's diagnostics do not allow its use."""
