"""What outlives the objects of a kind: of a pod or a NodeClaim, how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.operator.cluster.listed import ListedKind

_MOST = 1000


class LastStates:
    """Values that outlive their objects, one of each, for as many as there is room."""

    def __init__(self, kind: ListedKind) -> None:
        """Of objects of `kind`."""
        self._read, self._is_newest_kept = kind.read_last, kind.is_newest_kept
        self._values: dict[str, Any] = {}

    def see(self, found: Mapping[str, Any]) -> None:
        """Keep what outlives an object, if anything does.

        What was seen of a pod first stays: it tells of the grace that the pod had.
        """
        value = None if self._read is None else self._read(dict(found))
        if value is None or (value.uid in self._values and not self._is_newest_kept):
            return
        self._values[value.uid] = value
        if len(self._values) > _MOST:
            del self._values[next(iter(self._values))]

    def values(self) -> list[Any]:
        """All of them, the oldest first."""
        return list(self._values.values())
