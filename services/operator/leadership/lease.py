"""Leadership over the wire: the Lease object, the thread that renews it, and the fence."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import quote

import structlog

from services.kernel import telemetry
from services.kernel.clock import SystemClock
from services.operator.leadership.leader import Elector, Record, Timing
from services.operator.wire.http import Call, KubeError, KubeHttp

log = structlog.get_logger("operator")

_ROOT = "/apis/coordination.k8s.io/v1"
RESOURCE = "leases"


class Leadership(Protocol):
    """The term for which this process may act."""

    def term(self) -> int | None:
        """Number of the term for which it leads now; None: it does not."""
        ...


class Alone:
    """Leadership without an election: the only operator."""

    def term(self) -> int | None:
        """Always the same one."""
        return 1


class Fence:
    """Lets requests through only in the term in which the pass under way began.

    A pass that was held up for so long that another operator led in between must not go on, even
    when this one leads again: what it read is out of date.
    """

    def __init__(self, leadership: Leadership) -> None:
        """Open in the terms of `leadership`."""
        self._leadership = leadership
        self._term: int | None = None
        self._is_closed = False

    def enter(self) -> int | None:
        """Begin a pass; the term, or None where there is nothing to begin."""
        self._term = None if self._is_closed else self._leadership.term()
        return self._term

    def is_open(self) -> bool:
        """True while the pass may go on."""
        if self._is_closed or self._term is None:
            return False
        return self._leadership.term() == self._term

    def close(self) -> None:
        """Let nothing through any more."""
        self._is_closed = True


class LeaseStore:
    """One Lease object."""

    def __init__(self, http: KubeHttp, namespace: str, name: str) -> None:
        """Keep it in `namespace` under `name`."""
        self._http = http
        self._name = name
        self._namespace = namespace
        self._collection = f"{_ROOT}/namespaces/{quote(namespace)}/{RESOURCE}"
        self._path = f"{self._collection}/{quote(name)}"
        self._object: dict[str, Any] | None = None

    def read(self) -> tuple[Record | None, str]:
        """The record with its resourceVersion; None where there is no Lease.

        Raises:
            KubeError: It cannot be read.
        """
        try:
            found = self._http.send(Call("get", RESOURCE, self._path))
        except KubeError as error:
            if not error.is_missing:
                raise
            self._object = None
            return None, ""
        return self._take(found)

    def write(self, record: Record) -> tuple[Record | None, str]:
        """Create the Lease, or replace it as it was read or written last.

        Raises:
            KubeError: It changed since, or could not be written.
        """
        if self._object is None:
            metadata = {"name": self._name, "namespace": self._namespace}
            body: dict[str, Any] = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": metadata,
            }
            call = Call("create", RESOURCE, self._collection, body | {"spec": to_spec(record)})
        else:
            body = self._object | {"spec": (self._object.get("spec") or {}) | to_spec(record)}
            call = Call("update", RESOURCE, self._path, body)
        return self._take(self._http.send(call))

    def _take(self, found: dict[str, Any]) -> tuple[Record, str]:
        self._object = found
        return to_record(found), str(found["metadata"]["resourceVersion"])


def to_record(lease: dict[str, Any]) -> Record:
    """The record of a Lease; what it does not state is empty."""
    spec = lease.get("spec") or {}
    return Record(
        str(spec.get("holderIdentity") or ""),
        int(spec.get("leaseDurationSeconds") or 0),
        str(spec.get("acquireTime") or ""),
        str(spec.get("renewTime") or ""),
        int(spec.get("leaseTransitions") or 0),
    )


def to_spec(record: Record) -> dict[str, Any]:
    """A record as the spec of a Lease."""
    return {
        "holderIdentity": record.holder,
        "leaseDurationSeconds": record.duration_s,
        "acquireTime": record.acquired_at or None,
        "renewTime": record.renewed_at,
        "leaseTransitions": record.transitions,
    }


def micro_stamp(at: datetime) -> str:
    """A time as a Lease spells it, to the microsecond."""
    return f"{at.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


class LeaseKeeper:
    """Tries to lead, renews while it does, and gives up what it cannot renew in time."""

    def __init__(
        self,
        store: LeaseStore,
        elector: Elector,
        on_change: Callable[[], None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        cluster: str,
    ) -> None:
        """Lead through `store` in `cluster`.

        `on_change` is called (from the thread) when leadership changes.
        """
        self._cluster = cluster
        self._store = store
        self._elector = elector
        self._monotonic = monotonic
        self._is_ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self._is_leading = False
        self.on_change = on_change
        self.read_at_s: float | None = None

    def term(self) -> int | None:
        """Number of the term for which this process leads now; None: it does not."""
        elector = self._elector  # replaced as a whole by the thread
        return elector.term if elector.may_act(self._monotonic()) else None

    @property
    def timing(self) -> Timing:
        """Duration of the lease and the intervals of its renewal."""
        return self._elector.timing

    @property
    def holder(self) -> str:
        """Identity of the known leader; empty: there is none, or it is not known."""
        seen = self._elector.seen
        return "" if seen is None else seen.record.holder

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End and, where this process leads, release, so that another need not wait."""
        self._is_ending.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        elector = self._elector
        release = elector.released(micro_stamp(SystemClock().now()))
        self._elector = elector.stopped()
        self._report_change()
        if release is None:
            return
        try:
            self._store.write(release)
        except KubeError as error:
            log.warning("lease_not_released", error=error.message, next="it runs out")
            return
        log.info("lease_released")
        telemetry.leader_changes_total.labels(self._cluster, "released").inc()

    def _run(self) -> None:
        while not self._is_ending.is_set():
            self.turn()
            self._is_ending.wait(self.timing.retry_s)

    def turn(self) -> None:
        """One attempt to lead or to go on leading."""
        try:
            self._try()
        except KubeError as error:
            self._elector = self._elector.failed()
            if not error.is_conflict:
                telemetry.reconcile_errors_total.labels("lease").inc()
                log.warning("lease", error=error.message)
        except Exception as error:  # a defect here must not end the election in silence
            self._elector = self._elector.failed()
            telemetry.reconcile_errors_total.labels("lease").inc()
            log.error("lease_defect", exc_info=error)
        self._elector = self._elector.resigned(self._monotonic())
        self._report_change()

    def _try(self) -> None:
        """Write; a leader need not read, unless its last write did not work."""
        if not self._elector.is_read or self._elector.sent_s is None:
            self._read()
        try:
            self._write()
        except KubeError as error:
            if not error.is_conflict:
                raise
            self._elector = self._elector.failed()
            self._read()
            self._write()  # ours after all, an answer was lost; or released, or run out

    def _read(self) -> None:
        record, version = self._store.read()
        self.read_at_s = self._monotonic()
        self._elector = self._elector.read(record, version, self.read_at_s)

    def _write(self) -> None:
        sent_s = self._monotonic()
        wanted = self._elector.next_record(micro_stamp(SystemClock().now()), sent_s)
        if wanted is None:
            return
        record, version = self._store.write(wanted)
        now_s = self._monotonic()
        self.read_at_s = now_s
        self._elector = self._elector.wrote(record or wanted, version, sent_s, now_s)

    def _report_change(self) -> None:
        """Log, count and report when leadership began or ended."""
        is_leading = self.term() is not None
        if is_leading == self._is_leading:
            return
        self._is_leading = is_leading
        change = "began" if is_leading else "ended"
        telemetry.leader_changes_total.labels(self._cluster, change).inc()
        log.info("leading" if is_leading else "standby", holder=self.holder)
        self.on_change()
