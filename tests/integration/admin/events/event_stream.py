"""An open stream of events."""

from __future__ import annotations

import json
from typing import Any

import httpx

DEADLINE_S = 20.0


class Stream:
    """An open stream, read event by event."""

    def __init__(self, response: httpx.Response) -> None:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        self._lines = response.iter_lines()
        self.ids: list[str] = []

    def block(self) -> dict[str, str]:
        """The next block of lines: an event, a comment (under ``""``) or `retry`."""
        found: dict[str, str] = {}
        for line in self._lines:
            if not line:
                return found
            name, _, value = line.partition(":")
            found[name] = value.removeprefix(" ")
        raise AssertionError("the stream ended")

    def next(self) -> dict[str, Any]:
        """The next event."""
        while "event" not in (found := self.block()):
            pass
        self.ids.append(found["id"])
        return {"kind": found["event"], "body": json.loads(found["data"])}
