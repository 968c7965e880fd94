"""The bytes of a Prometheus remote write to columns. Pure.

Source of the format: the Prometheus Remote-Write specifications 1.0 and 2.0. A body is one Snappy
block (not the framed format) around one protobuf message.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import chain
from typing import overload

import cramjam
import numpy as np
from google.protobuf.message import DecodeError

from services.ingest.proto import remote_write_v1_pb2 as v1, remote_write_v2_pb2 as v2
from services.ingest.remote_write.columns import WriteColumns, read_columns
from services.ingest.remote_write.wire import Layout, RequestLimits, check_counts
from services.ingest.series.rules import Labels, RemoteRules, SenderSeries
from services.ingest.series.samples import F64, I64, Mask
from services.kernel.errors import BadRequest, PayloadTooLarge, UnsupportedMediaType

STALE_NAN_BITS = 0x7FF0000000000002
"""The one NaN with which Prometheus says that a series has ended."""

_MEDIA_TYPE = "application/x-protobuf"
_FARTHEST_MS = 9_000_000_000_000_000  # in microseconds still an int64


class Version(Enum):
    """The message that a request holds, by the word of its Content-Type."""

    V1 = "prometheus.WriteRequest"
    V2 = "io.prometheus.write.v2.Request"


_LAYOUTS = {
    Version.V1: Layout(series=1, values=frozenset({2, 4})),
    Version.V2: Layout(series=5, values=frozenset({2, 3}), packed=1),
}


@dataclass(frozen=True, slots=True)
class RawHistogram:
    """A native histogram as it was sent, and the number of its series."""

    series: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class RemoteWrite:
    """A remote write as columns.

    Attributes:
        labels: Labels of each series, sorted by name.
        origins: What the rules make of each series; empty where nobody asked them yet.
        series: Number of the series of each sample, (N,).
        at_us: Its time in microseconds since the epoch, (N,).
        value: Its value, (N,).
        histograms: Native histograms, in the order of their series.
        n_exemplars: Exemplars, which are not read.
    """

    labels: Sequence[Labels]
    series: I64
    at_us: I64
    value: F64
    histograms: tuple[RawHistogram, ...] = ()
    n_exemplars: int = 0
    origins: Sequence[SenderSeries] = ()

    @property
    def is_stale_marker(self) -> Mask:
        """Samples that are no values but say that their series has ended, (N,)."""
        bits = self.value.view(np.uint64)
        return np.equal(bits, np.uint64(STALE_NAN_BITS))


def to_version(content_type: str, content_encoding: str) -> Version:
    """The version that a request's headers name; version 1 where they name none.

    Raises:
        UnsupportedMediaType: They name something else.
    """
    if content_encoding.strip().lower() != "snappy":
        raise UnsupportedMediaType(f"Content-Encoding: {content_encoding[:60]!r} must be 'snappy'")
    media_type, *parameters = (part.strip() for part in content_type.split(";"))
    if media_type.lower() != _MEDIA_TYPE:
        raise UnsupportedMediaType(f"Content-Type: {media_type[:60]!r} must be {_MEDIA_TYPE!r}")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "proto":
            return _version_of(value.strip().strip('"'))
    return Version.V1


def _version_of(message: str) -> Version:
    try:
        return Version(message)
    except ValueError:
        known = " or ".join(version.value for version in Version)
        raise UnsupportedMediaType(
            f"Content-Type: proto={message[:60]!r} must be {known}"
        ) from None


def decompress(body: bytes, max_bytes: int) -> bytes:
    """The message in a Snappy block.

    The block names its size first, so nothing is unpacked that is too large.

    Raises:
        BadRequest: It is no Snappy block.
        PayloadTooLarge: It holds more than `max_bytes`.
    """
    try:
        size = cramjam.snappy.decompress_raw_len(body)
        if size > max_bytes:
            raise PayloadTooLarge(
                f"body: {size} bytes once decompressed, over the limit of {max_bytes}; lower "
                "max_samples_per_send of the sender"
            )
        return bytes(cramjam.snappy.decompress_raw(body))
    except cramjam.DecompressionError as error:
        raise BadRequest(f"body: no Snappy block ({error}); send the block format") from error


def decode(
    body: bytes, version: Version, limits: RequestLimits, rules: RemoteRules | None = None
) -> RemoteWrite:
    """Read a request.

    Args:
        body: A Snappy block.
        version: What it holds.
        limits: Its bounds.
        rules: Recall the series of version 1 that were seen before, which then cost a fraction;
            None: every series is read as if it was new.

    Raises:
        BadRequest: It is not the message that its headers name, or breaks a rule of labels.
        PayloadTooLarge: It is over a limit.
    """
    content = decompress(body, limits.max_bytes)
    try:
        if version is Version.V1 and rules is not None:
            usual = read_columns(content, limits)
            found = None if usual is None else _recalled(usual, rules)
            if found is not None:
                return found
        check_counts(content, _LAYOUTS[version], limits)
        if version is Version.V1:
            first = v1.WriteRequest.FromString(content)
            return _columns(first.timeseries, _labels_v1(first))
        second = v2.Request.FromString(content)
        return _columns(second.timeseries, _labels_v2(second, limits))
    except DecodeError as error:
        raise BadRequest(f"body: not a {version.value} ({error})") from error


def _recalled(columns: WriteColumns, rules: RemoteRules) -> RemoteWrite | None:
    """A request whose series are known by the bytes of their labels; new ones are read.

    None where labels cannot be read: the general way says what of.
    """
    found = rules.recall(columns.blocks)
    try:
        for number in [number for number, one in enumerate(found) if one is None]:
            block = columns.blocks[number]
            found[number] = rules.learn(block, _checked(number, _labels_of(block)))
    except DecodeError:
        return None
    return RemoteWrite(
        labels=_BlockLabels(columns.blocks),
        series=columns.series,
        at_us=columns.at_ms * 1000,
        value=columns.value,
        origins=[one for one in found if one is not None],
    )


def _labels_of(block: bytes) -> Labels:
    return tuple((label.name, label.value) for label in v1.TimeSeries.FromString(block).labels)


@dataclass(frozen=True, slots=True)
class _BlockLabels(Sequence[Labels]):
    """Labels of series, read as they are asked for: few are."""

    blocks: Sequence[bytes]

    def __len__(self) -> int:
        return len(self.blocks)

    @overload
    def __getitem__(self, number: int) -> Labels: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Labels]: ...
    def __getitem__(self, number: int | slice) -> Labels | Sequence[Labels]:
        if isinstance(number, slice):
            return _BlockLabels(self.blocks[number])
        return tuple(sorted(_labels_of(self.blocks[number])))


def _columns(
    found: Sequence[v1.TimeSeries] | Sequence[v2.TimeSeries], labels: Iterator[Labels]
) -> RemoteWrite:
    counts = [len(one.samples) for one in found]
    sent = [one.histograms for one in found]
    histograms = [RawHistogram(number, raw) for number, each in enumerate(sent) for raw in each]
    samples = list(chain.from_iterable(one.samples for one in found))
    at_ms = np.array([sample.timestamp for sample in samples], dtype=np.int64)
    return RemoteWrite(
        labels=tuple(labels),
        series=np.repeat(np.arange(len(counts), dtype=np.int64), counts),
        at_us=np.clip(at_ms, -_FARTHEST_MS, _FARTHEST_MS) * 1000,
        value=np.array([sample.value for sample in samples], dtype=np.float64),
        histograms=tuple(histograms),
        n_exemplars=sum(len(one.exemplars) for one in found),
    )


def _labels_v1(request: v1.WriteRequest) -> Iterator[Labels]:
    for position, one in enumerate(request.timeseries):
        yield _checked(position, tuple((label.name, label.value) for label in one.labels))


def _labels_v2(request: v2.Request, limits: RequestLimits) -> Iterator[Labels]:
    symbols = list(request.symbols)
    n_chars = 0
    for position, one in enumerate(request.timeseries):
        refs = list(one.labels_refs)
        if len(refs) % 2 or (refs and max(refs) >= len(symbols)):
            raise BadRequest(
                f"timeseries[{position}].labels_refs: must be pairs of positions in the "
                f"{len(symbols)} symbols, got {refs[:20]}"
            )
        words = [symbols[ref] for ref in refs]
        n_chars += sum(map(len, words))
        if n_chars > limits.max_label_chars:
            raise PayloadTooLarge(
                f"timeseries[{position}].labels_refs: the labels up to here have more than "
                f"{limits.max_label_chars} characters written out; lower max_samples_per_send of "
                "the sender"
            )
        yield _checked(position, tuple(zip(words[::2], words[1::2], strict=True)))


def _checked(position: int, labels: Labels) -> Labels:
    names = {name for name, _ in labels}
    if len(names) != len(labels) or not names or "" in names:
        shown = [name[:60] for name, _ in labels[:20]]
        raise BadRequest(
            f"timeseries[{position}].labels: names must be there, not empty and different, "
            f"got {shown}"
        )
    return tuple(sorted(labels))
