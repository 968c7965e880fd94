"""WATCH: every change once, in order, until the time is up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from services.lab.cluster.admission.access import Question
from services.lab.cluster.storage import failures
from services.lab.cluster.storage.resources import ResourceType
from services.lab.cluster.storage.selection import Selector
from services.lab.cluster.storage.store import ObjectChange, Store
from services.lab.cluster.wire.faults import Fault

DEFAULT_TIMEOUT_S = 1_800.0
LAST_BOOKMARK_S = 0.05


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """Options of a watch.

    Attributes:
        show: Turns an object into what the client wants to see of it; None: the object.
    """

    rtype: ResourceType
    selector: Selector
    question: Question
    version: str = ""
    timeout_s: float = DEFAULT_TIMEOUT_S
    has_bookmarks: bool = False
    wants_initial: bool = False
    show: Callable[[bytes], bytes] | None = None


@dataclass(eq=False, slots=True)
class OpenWatch:
    """A watch under way, and how it is to end before its time."""

    options: WatchOptions
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    ending: str = ""


class Watches:
    """All open watches."""

    def __init__(self, store: Store, bookmark_s: float = 5.0) -> None:
        self._store = store
        self._bookmark_s = bookmark_s
        self._open: set[OpenWatch] = set()

    def __len__(self) -> int:
        return len(self._open)

    def close(self) -> None:
        """End every watch as if its time were up."""
        for watch in self._open:
            watch.ending = watch.ending or "closed"
            watch.wake.set()

    def break_open(self, fault: Fault) -> int:
        """Break the open watches that a fault means; how many."""
        broken = [watch for watch in self._open if fault.matches(watch.options.question)]
        for watch in broken:
            watch.ending = fault.kind
            watch.wake.set()
        return len(broken)

    async def serve(
        self, request: web.Request, options: WatchOptions, broken: str = ""
    ) -> web.StreamResponse:
        """Stream changes; `broken` is the fault that this watch was born with."""
        position, head = self._start(options)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        watch = OpenWatch(options, ending=broken)
        collection = self._store.collection(options.rtype)
        collection.waiting.add(watch.wake)
        self._open.add(watch)
        try:
            if head:
                await response.write(head)
            if position is not None:
                await self._stream(request, response, watch, position)
        except (ConnectionResetError, ConnectionError):
            return response
        finally:
            collection.waiting.discard(watch.wake)
            self._open.discard(watch)
        return response

    def _start(self, options: WatchOptions) -> tuple[int | None, bytes]:
        """Version to go on from, None when there is nothing to go on with; the first lines."""
        asked = options.version
        if asked and not asked.isdigit():
            raise failures.bad_request(f'invalid resource version "{asked}"')
        if options.wants_initial or asked in ("", "0"):
            lines = [
                _line("ADDED", options.show(stored.raw) if options.show else stored.raw)
                for stored in self._store.each(options.rtype)
                if options.selector.matches(stored.facts)
            ]
            if options.wants_initial:
                lines.append(self._bookmark(options, is_initial_end=True))
            return self._store.version, b"".join(lines)
        if self._store.since(options.rtype, int(asked)) is None:
            return None, _error(f"too old resource version: {asked} ({self._store.version})")
        return int(asked), b""

    async def _stream(
        self,
        request: web.Request,
        response: web.StreamResponse,
        watch: OpenWatch,
        position: int,
    ) -> None:
        loop = asyncio.get_running_loop()
        options = watch.options
        deadline = loop.time() + options.timeout_s
        while True:
            watch.wake.clear()
            if watch.ending and await self._end_early(request, response, watch):
                return
            changes = self._store.since(options.rtype, position)
            if changes is None:
                await response.write(_error(f"too old resource version: {position}"))
                return
            if changes:
                position = changes[-1].version
                if lines := b"".join(_lines(changes, options)):
                    await response.write(lines)
                continue
            left_s = deadline - loop.time()
            if left_s <= 0 or request.transport is None or request.transport.is_closing():
                return
            is_last = left_s <= self._bookmark_s
            pause_s = max(left_s - LAST_BOOKMARK_S, 0.0) if is_last else self._bookmark_s
            try:
                await asyncio.wait_for(watch.wake.wait(), pause_s)
            except TimeoutError:
                position = self._store.version if not self._pending(options, position) else position
                if options.has_bookmarks and not self._pending(options, position):
                    await response.write(self._bookmark(options))
                if is_last:
                    await asyncio.sleep(max(deadline - loop.time(), 0.0))

    def _pending(self, options: WatchOptions, position: int) -> bool:
        return self._store.since(options.rtype, position) != []

    async def _end_early(
        self, request: web.Request, response: web.StreamResponse, watch: OpenWatch
    ) -> bool:
        if watch.ending == "drop_watch":
            if request.transport is not None:
                request.transport.abort()
        elif watch.ending == "gone":
            await response.write(_error("too old resource version: asked for by the laboratory"))
        return True

    def _bookmark(self, options: WatchOptions, *, is_initial_end: bool = False) -> bytes:
        meta: dict[str, Any] = {
            "resourceVersion": str(self._store.version),
            "creationTimestamp": None,
        }
        if is_initial_end:
            meta["annotations"] = {"k8s.io/initial-events-end": "true"}
        body = {
            "kind": options.rtype.kind,
            "apiVersion": options.rtype.api_version,
            "metadata": meta,
        }
        return _line("BOOKMARK", orjson.dumps(body))


def _line(verb: str, raw: bytes) -> bytes:
    return b'{"type":"%s","object":%s}\n' % (verb.encode(), raw)


def _error(message: str) -> bytes:
    return _line("ERROR", orjson.dumps(failures.expired(message).status))


def _lines(changes: list[ObjectChange], options: WatchOptions) -> Iterator[bytes]:
    """Lines that a watcher reads of the changes."""
    selector, show = options.selector, options.show
    for change in changes:
        was = change.old_facts is not None and selector.matches(change.old_facts)
        is_now = change.verb != "DELETED" and selector.matches(change.facts)
        if is_now:
            verb = "MODIFIED" if was else "ADDED"
        elif was:
            verb = "DELETED"
        else:
            continue
        yield _line(verb, show(change.raw) if show else change.raw)
