"""Election of one leader among several operators: a state machine over one Lease, pure.

The record is that of Kubernetes' own controllers: who holds it, for how long, since when, renewed
when, and how often it changed hands. Times of different hosts are never compared: `now_s` is this
process's monotonic clock, and a record of another process has expired once it has not changed for
its whole duration since this process saw it last change. A leader counts from the moment at which
its last renewal was *sent*, and only for the renew deadline, which is shorter than the duration:
so it has stopped before anyone else can begin, as long as clocks run at about the same rate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Timing:
    """Duration of a lease and the intervals of its renewal.

    Attributes:
        duration_s: How long others wait after the last renewal that they saw.
        deadline_s: How long a leader acts after sending its last renewal that worked.
        retry_s: Time between two attempts.
    """

    duration_s: int
    deadline_s: float
    retry_s: float

    def __post_init__(self) -> None:
        """Check the order.

        Raises:
            ValueError: Naming what is wrong and what would be right.
        """
        if not 0 < self.retry_s < self.deadline_s < self.duration_s:
            raise ValueError(
                f"lease duration {self.duration_s} s, renew deadline {self.deadline_s} s and retry "
                f"{self.retry_s} s: the retry must be shorter than the deadline, and the deadline "
                "shorter than the duration"
            )


@dataclass(frozen=True, slots=True)
class Record:
    """The record of a Lease.

    Attributes:
        holder: Who leads; empty after a release.
        duration_s: For how long after a renewal.
        acquired_at: When the holder began, as it wrote it.
        renewed_at: When it renewed last, as it wrote it.
        transitions: How often the lease changed hands.
    """

    holder: str
    duration_s: int
    acquired_at: str
    renewed_at: str
    transitions: int


@dataclass(frozen=True, slots=True)
class ObservedRecord:
    """A record as it was read.

    Attributes:
        version: The object's resourceVersion; a write is bound to it.
        at_s: When this process first saw the record as it is.
    """

    record: Record
    version: str
    at_s: float


@dataclass(frozen=True, slots=True)
class Elector:
    """The election as one process knows it.

    Attributes:
        seen: The newest record; None: there is none, or it has not been read.
        is_read: False where the record must be read again before anything is written.
        sent_s: When the last renewal that worked was sent; None: this process does not lead.
        term: How many times this process began to lead.
    """

    identity: str
    timing: Timing
    seen: ObservedRecord | None = None
    is_read: bool = False
    sent_s: float | None = None
    term: int = 0

    def may_act(self, now_s: float) -> bool:
        """True while this process leads and has time left."""
        return self.sent_s is not None and now_s < self.sent_s + self.timing.deadline_s

    def read(self, record: Record | None, version: str, now_s: float) -> Elector:
        """The election after a record was read; a leader that sees another holder has lost it."""
        if record is None:
            return replace(self, seen=None, is_read=True, sent_s=None)
        is_same = self.seen is not None and self.seen.record == record
        at_s = self.seen.at_s if is_same and self.seen is not None else now_s
        sent_s = self.sent_s if record.holder == self.identity else None
        return replace(
            self, seen=ObservedRecord(record, version, at_s), is_read=True, sent_s=sent_s
        )

    def next_record(self, stamp: str, now_s: float) -> Record | None:
        """The record to write now; None: another process holds the lease.

        Args:
            stamp: Wall-clock time as the record spells it; for readers, never compared.
            now_s: Monotonic seconds.
        """
        duration_s = self.timing.duration_s
        if self.seen is None:
            return Record(self.identity, duration_s, stamp, stamp, 0)
        old = self.seen.record
        if old.holder == self.identity:
            return Record(self.identity, duration_s, old.acquired_at, stamp, old.transitions)
        if old.holder and now_s < self.seen.at_s + old.duration_s:
            return None
        return Record(self.identity, duration_s, stamp, stamp, old.transitions + 1)

    def released(self, stamp: str) -> Record | None:
        """The record that a holder writes when it ends; None: this process holds nothing."""
        if self.seen is None or not self.is_read or self.seen.record.holder != self.identity:
            return None
        return replace(self.seen.record, holder="", duration_s=1, renewed_at=stamp)

    def wrote(self, record: Record, version: str, sent_s: float, now_s: float) -> Elector:
        """A write worked that was sent at `sent_s`: this process leads."""
        begins = not self.may_act(now_s)
        return replace(
            self,
            seen=ObservedRecord(record, version, now_s),
            is_read=True,
            sent_s=sent_s,
            term=self.term + begins,
        )

    def failed(self) -> Elector:
        """A read or a write did not work, or nobody knows whether it did: read before writing."""
        return replace(self, is_read=False)

    def resigned(self, now_s: float) -> Elector:
        """Without the leadership that has run out."""
        if self.sent_s is None or self.may_act(now_s):
            return self
        return replace(self, sent_s=None)

    def stopped(self) -> Elector:
        """Without leadership, at once; the record is another matter."""
        return replace(self, sent_s=None)
