"""The event stream: one reader of `api_events` per process, any number of bounded subscribers.

Why one reader: a hundred browsers must not mean a hundred polling connections. Why LISTEN with a
poll behind it: a notification wakes the reader at once, and what a running transaction still holds
back is picked up by the next look, a second later. A subscriber that does not keep up is closed,
never waited for; its client comes back with `Last-Event-ID` and misses nothing.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, RowMapping
from sqlalchemy.exc import SQLAlchemyError

from services.admin.decisions.translate import to_action, to_decision
from services.admin.events import repository
from services.admin.events.repository import Position
from services.admin.operations.service import namespaces_of
from services.admin.operations.translate import to_operation
from services.admin.rest.schemas import Out
from services.kernel.errors import InvalidInput, TooManyRequests
from services.kernel.security.keys import FLEET
from services.kernel.telemetry import get_logger

KINDS = ("decision", "action", "operation")
POLL_S = 1.0
RETRY_S = 2.0
QUEUE_SIZE = 1_000
MAX_STREAMS = 200
MAX_STREAMS_PER_CALLER = 20
MAX_STREAMS_PER_NAMESPACE = MAX_STREAMS // 2
"""Of callers who are limited to namespaces: so that none of them can take all of a process."""
KEPT_FOR_FLEET = MAX_STREAMS // 10
"""Streams that such callers leave to those of the whole fleet, however many tenants there are."""
LIFE_S = 600.0
"""A stream ends after this and its client opens the next: so a revoked key is found out."""
GRACE_S = 60.0
BATCH = 200
MAX_BACKLOG = 5_000


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Attributes:
        position: Of its row in `api_events`.
        place: Among the events of that row.
        namespaces: Namespaces that must all be seen to see it.
        workloads: `namespace/name` of what it is about.
        cluster: Name of its cluster.
    """

    position: Position
    place: int
    kind: str
    namespaces: frozenset[str]
    workloads: frozenset[str]
    body: Out
    cluster: str = ""

    @property
    def id(self) -> str:
        """Id that a client sends back as `Last-Event-ID`."""
        return f"{self.position.xact}-{self.position.id}-{self.place}"

    def to_text(self) -> str:
        """As the stream carries it."""
        return f"id: {self.id}\nevent: {self.kind}\ndata: {self.body.model_dump_json()}\n\n"


@dataclass(frozen=True, slots=True)
class Interest:
    """Events that a subscriber wants and may see.

    Attributes:
        workload: `namespace/name`; None: any.
        operation_id: Of this operation only.
        namespaces: Those that may be seen; None: all.
        cluster: Events of this one only; None: of all.
    """

    kinds: frozenset[str] = frozenset(KINDS)
    workload: str | None = None
    operation_id: int | None = None
    namespaces: frozenset[str] | None = None
    cluster: str | None = None

    def wants(self, event: Event) -> bool:
        """True where an event is for the subscriber."""
        if event.kind not in self.kinds or self.cluster not in (None, event.cluster):
            return False
        if self.namespaces is not None and not event.namespaces <= self.namespaces:
            return False
        if self.operation_id is not None:
            body: Any = event.body
            return event.kind == "operation" and body.id == self.operation_id
        return self.workload is None or self.workload in event.workloads


def parse_event_id(text: str) -> tuple[Position, int]:
    """A `Last-Event-ID` of ours.

    Raises:
        InvalidInput: It is none.
    """
    parts = text.split("-")
    if len(parts) != 3 or not all(p.isascii() and p.isdigit() and len(p) < 20 for p in parts):
        raise InvalidInput(f"Last-Event-ID={text[:80]!r} must be the id of an event of this stream")
    xact, id_, place = (int(part) for part in parts)
    if max(xact, id_) >= 2**63:
        raise InvalidInput(f"Last-Event-ID={text[:80]!r} must be the id of an event of this stream")
    return Position(xact, id_), place


@dataclass(eq=False)
class Subscription:
    """A subscriber's queue, in its own event loop; None in it: it is closed."""

    interest: Interest
    caller: str
    loop: asyncio.AbstractEventLoop
    opened_s: float
    queue: asyncio.Queue[Event | None] = field(default_factory=lambda: asyncio.Queue(QUEUE_SIZE))

    def offer(self, event: Event | None) -> None:
        """Put an event in; a full queue is emptied and closed."""
        if self.queue.full():
            while not self.queue.empty():
                self.queue.get_nowait()
            event = None
        self.queue.put_nowait(event)


class EventHub:
    """Reads events while somebody listens, and hands them to whom they are for."""

    def __init__(self, engine: Engine, poll_s: float = POLL_S) -> None:
        """Nothing is read before the first subscriber.

        Args:
            engine: Database; the reader holds one connection of it.
            poll_s: Seconds after which the reader looks without a notification.
        """
        self._engine = engine
        self._poll_s = poll_s
        self._lock = threading.Lock()
        self._subscribers: set[Subscription] = set()
        self._thread: threading.Thread | None = None
        self._position = Position(0, 0)

    def subscribe(
        self, interest: Interest, caller: str, loop: asyncio.AbstractEventLoop
    ) -> Subscription:
        """Open a subscription that is read in `loop`; it misses nothing from here on.

        Raises:
            TooManyRequests: Too many are open, of this caller, of its namespaces or in all.
        """
        now_s = loop.time()
        subscription = Subscription(interest, caller, loop, now_s)
        with self._lock:
            # one whose response was never begun has nobody to close it
            old = {s for s in self._subscribers if s.opened_s < now_s - LIFE_S - GRACE_S}
            self._subscribers -= old
            _check_room(self._subscribers, interest, caller)
            if self._thread is None:
                with self._engine.connect() as connection:
                    self._position = repository.load_end(connection)
            self._subscribers.add(subscription)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="events", daemon=True)
                self._thread.start()
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Close a subscription; the reader ends after the last one."""
        with self._lock:
            self._subscribers.discard(subscription)

    def backlog(self, after: Position, place: int, interest: Interest) -> list[Event]:
        """Events kept after a position, as far as `interest` wants them.

        Raises:
            InvalidInput: There is more than can be sent at once, or it is kept no longer.
        """
        found: list[Event] = []
        with self._engine.connect() as connection:
            oldest = repository.load_oldest(connection)
            if oldest is not None and oldest > after and not _follows(connection, after):
                raise InvalidInput(
                    "Last-Event-ID is older than what is kept (a day); read the lists again and "
                    "open the stream without it"
                )
            position = Position(after.xact, after.id - 1)
            while rows := repository.load_events(connection, position, BATCH):
                position = _position(rows[-1])
                found += [
                    event
                    for event in to_events(connection, rows)
                    if (event.position, event.place) > (after, place) and interest.wants(event)
                ]
                if len(found) > MAX_BACKLOG:
                    raise InvalidInput(
                        f"more than {MAX_BACKLOG} events have passed since Last-Event-ID; read "
                        "the lists again and open the stream without it"
                    )
        return found

    def _run(self) -> None:
        """Read until nobody listens; a database that is away is asked again."""
        log = get_logger(__name__)
        while not self._has_ended():
            try:
                self._read()
            except (SQLAlchemyError, psycopg.Error) as error:  # it listens by the driver itself
                log.warning("events_unreadable", error=str(error).strip()[:300])
                threading.Event().wait(RETRY_S)
            except Exception as error:  # a defect: without this thread nobody would read again
                log.error("events_defect", exc_info=error)
                threading.Event().wait(RETRY_S)

    def _has_ended(self) -> bool:
        with self._lock:
            if self._subscribers:
                return False
            self._thread = None
            return True

    def _read(self) -> None:
        """Follow the events from the position on; returns when nobody listens."""
        options = {"isolation_level": "AUTOCOMMIT"}
        with self._engine.connect().execution_options(**options) as connection:
            try:
                repository.listen(connection)
                while self._subscribers:
                    while rows := repository.load_events(connection, self._position, BATCH):
                        self._publish(to_events(connection, rows))
                        self._position = _position(rows[-1])
                    repository.wait(connection, self._poll_s)
            finally:
                # whoever was given it next would go on hearing, and keep all of it in memory
                connection.invalidate()

    def _publish(self, events: Iterable[Event]) -> None:
        with self._lock:
            subscribers = list(self._subscribers)
        for event in events:
            for subscription in subscribers:
                if subscription.interest.wants(event):
                    try:
                        subscription.loop.call_soon_threadsafe(subscription.offer, event)
                    except RuntimeError:  # its loop has been closed: the server is stopping
                        self.unsubscribe(subscription)


def _check_room(there: Collection[Subscription], interest: Interest, caller: str) -> None:
    """Refuse a stream for which there is no place.

    Raises:
        TooManyRequests: Too many are open: of this caller, of one of its namespaces, of callers
            who are limited to namespaces, or in all.
    """
    own = sum(1 for other in there if other.caller == caller)
    bounds = [
        (own, MAX_STREAMS_PER_CALLER, "of this caller"),
        (len(there), MAX_STREAMS, "in this process"),
    ]
    if interest.namespaces is not None:
        limited = [o.interest.namespaces for o in there if o.interest.namespaces is not None]
        n_most = MAX_STREAMS - KEPT_FOR_FLEET
        bounds.append((len(limited), n_most, "of callers who are limited to namespaces"))
        for name in sorted(interest.namespaces):
            n_there = sum(1 for names in limited if name in names)
            bounds.append((n_there, MAX_STREAMS_PER_NAMESPACE, f"of callers of namespace {name!r}"))
    for n_open, n_most, whose in bounds:
        if n_open >= n_most:
            raise TooManyRequests(
                f"{n_open} event streams {whose} are open, at most {n_most} may; close one, or "
                "come back later",
                retry_after_s=10.0,
            )


def _follows(connection: Connection, after: Position) -> bool:
    """True where the row at a position is still kept."""
    rows = repository.load_events(connection, Position(after.xact, after.id - 1), 1)
    return bool(rows) and _position(rows[0]) == after


def to_events(connection: Connection, rows: Iterable[RowMapping]) -> Iterator[Event]:
    """The events of some rows, each with what it is about as that stands now."""
    rows = list(rows)
    wanted: dict[str, set[int]] = {}
    for row in rows:
        wanted.setdefault(row["kind"], set()).update(row["refs"])
    subjects = {
        kind: repository.load_subjects(connection, kind, sorted(ids))
        for kind, ids in wanted.items()
        if kind in KINDS  # another may be of a later release
    }
    for row in rows:
        for place, ref in enumerate(row["refs"]):
            subject = subjects.get(row["kind"], {}).get(ref)
            event = None if subject is None else _readable(row, place, subject)
            if event is not None:
                yield event


def _readable(row: RowMapping, place: int, subject: RowMapping) -> Event | None:
    """The event of a subject; None: it is odd, or of a later release, and holds up no other."""
    try:
        return _event(_position(row), place, row["kind"], subject)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        kind, why = row["kind"], str(error)[:200]
        get_logger(__name__).warning("event_unreadable", kind=kind, id=subject["id"], error=why)
        return None


def _position(row: RowMapping) -> Position:
    return Position(row["xact"], row["id"])


def _event(position: Position, place: int, kind: str, row: RowMapping) -> Event:
    if kind == "operation":
        keys = frozenset(str(key) for key in row["params"].get("workloads", ()))
        names = frozenset(namespaces_of(row))
        return Event(position, place, kind, names, keys, to_operation(row), row["cluster"])
    body: Out = to_decision(row) if kind == "decision" else to_action(row)
    namespace = row["namespace"] or FLEET
    return Event(
        position,
        place,
        kind,
        frozenset({namespace}),
        frozenset({f"{namespace}/{row['name']}"}),
        body,
        row["cluster"],
    )
