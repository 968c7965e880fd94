"""What a remote write holds, counted on the wire before anything is made of it. Pure.

Two bytes are a whole series on the wire and a hundred in memory. So series, samples and the fields
they consist of are counted first, with no more memory than the message itself takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from services.ingest.series.samples import MOST_SERIES
from services.kernel.errors import PayloadTooLarge

_BLOCK = 2  # the wire type of what has a length
_FIXED_BYTES = {1: 8, 5: 4}
_KNOWN_TYPES = 5
_GOES_ON = bytes(range(0x80, 0x100))  # bytes of a varint that are not its last
_LEAST_BYTES = 24  # of a label or a sample, on the average of a request that is full
_TIMES_WRITTEN_OUT = 4  # labels that share their words, to the bytes of a request


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Bounds of one request.

    Attributes:
        max_bytes: Bytes once it is decompressed.
        max_samples: Samples and native histograms; a series without any counts as one.
    """

    max_bytes: int
    max_samples: int

    @property
    def max_fields(self) -> int:
        """Fields: series, labels, samples, symbols and whatever else has a place of its own."""
        return self.max_bytes // _LEAST_BYTES

    @property
    def max_label_chars(self) -> int:
        """Characters of the labels of all series, where these share their words (version 2.0).

        Each series is read, matched and told apart by all of its labels: a word that many share
        costs as if each had sent its own.
        """
        return self.max_bytes * _TIMES_WRITTEN_OUT


@dataclass(frozen=True, slots=True)
class Layout:
    """Numbers of the fields that are counted, as a version has them.

    Attributes:
        series: Of a series in the request.
        values: Of samples and native histograms in a series.
        packed: Of positions in a series that may share one block, two for a label; None: no such.
    """

    series: int
    values: frozenset[int]
    packed: int | None = None


def check_counts(content: bytes, layout: Layout, limits: RequestLimits) -> None:
    """Refuse a message that holds too much.

    What cannot be read ends the count: decoding ends there too, and says so.

    Raises:
        PayloadTooLarge: It is over a limit.
    """
    if len(content) <= 2 * min(limits.max_samples, limits.max_fields, MOST_SERIES):
        return  # nothing takes less than two bytes
    n_samples = n_series = n_fields = 0
    for number, start, end in _fields(content, 0, len(content)):
        n_fields += 1
        if number == layout.series:
            n_values = 0
            for inner, inner_start, inner_end in _fields(content, start, end):
                n_fields += 1
                if inner in layout.values:
                    n_values += 1
                elif inner == layout.packed:
                    block = content[inner_start:inner_end]
                    n_fields += len(block.translate(None, _GOES_ON)) // 2
                if n_values > limits.max_samples or n_fields > limits.max_fields:
                    break
            n_samples += n_values or 1
            n_series += 1
        is_many = n_samples > limits.max_samples or n_series > MOST_SERIES
        if is_many or n_fields > limits.max_fields:
            raise _too_many(limits)


def _too_many(limits: RequestLimits) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"body: more than {limits.max_samples} samples (a series without any counts as one), "
        f"{MOST_SERIES} series or {limits.max_fields} labels and other fields; "
        "lower max_samples_per_send of the sender"
    )


def _fields(content: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number of each field of a message, and where its content begins and ends.

    Up to the first that cannot be read. One without a length has no content; groups are gone
    through.
    """
    try:
        while at < end:
            tag = content[at]
            at += 1
            if tag >= 0x80:
                tag, at = _varint(content, at - 1)
            kind = tag & 7
            if kind == _BLOCK:
                size = content[at]
                at += 1
                if size >= 0x80:
                    size, at = _varint(content, at - 1)
                start, at = at, at + size
                if at > end:
                    return
                yield tag >> 3, start, at
                continue
            if kind > _KNOWN_TYPES:
                return
            if kind == 0:
                at = _varint(content, at)[1]
            at += _FIXED_BYTES.get(kind, 0)
            yield tag >> 3, at, at
    except IndexError:  # it ends within a number, or the number does not end
        return


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """A number, and the place after it."""
    found = 0
    for shift in range(0, 64, 7):
        byte = content[at]
        at += 1
        found |= (byte & 0x7F) << shift
        if byte < 0x80:
            return found, at
    raise IndexError(at)
