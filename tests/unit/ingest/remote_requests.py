"""Remote writes as a sender makes them, written with the wire format and not with our stubs."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cramjam

STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
V1 = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
V2 = V1 | {"Content-Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request"}

Labels = Mapping[str, str]
Sample = tuple[int, float]  # milliseconds since the epoch, value
Series = tuple[Labels, Sequence[Sample]]


def varint(number: int) -> bytes:
    number &= 0xFFFFFFFFFFFFFFFF
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def block(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def sample(at_ms: int, value: float) -> bytes:
    return varint(1 << 3 | 1) + struct.pack("<d", value) + varint(2 << 3) + varint(at_ms)


def message_v1(*series: Series) -> bytes:
    found = b""
    for labels, samples in series:
        content = b"".join(
            block(1, block(1, name.encode()) + block(2, value.encode()))
            for name, value in labels.items()
        )
        content += b"".join(block(2, sample(*one)) for one in samples)
        found += block(1, content)
    return found


def message_v2(*series: Series) -> bytes:
    symbols = [""]
    found = b""
    for labels, samples in series:
        refs = b""
        for word in (word for pair in labels.items() for word in pair):
            if word not in symbols:
                symbols.append(word)
            refs += varint(symbols.index(word))
        found += block(5, block(1, refs) + b"".join(block(2, sample(*one)) for one in samples))
    return b"".join(block(4, word.encode()) for word in symbols) + found


def packed(message: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(message))


def body_v1(*series: Series) -> bytes:
    return packed(message_v1(*series))


def body_v2(*series: Series) -> bytes:
    return packed(message_v2(*series))


def indicator(name: str, workload: str = "w0", **labels: str) -> dict[str, str]:
    """Labels of the default rule."""
    named = {"namespace": "shop", "workload": workload, "indicator": name}
    return {"__name__": "harmony:indicator"} | named | labels


def fixed(field: int, value: float) -> bytes:
    return varint(field << 3 | 1) + struct.pack("<d", value)


def zigzag(number: int) -> bytes:
    return varint(number << 1 ^ number >> 63)


def spans_of(field: int, spans: Sequence[tuple[int, int]]) -> bytes:
    return b"".join(
        block(field, varint(1 << 3) + zigzag(offset) + varint(2 << 3) + varint(length))
        for offset, length in spans
    )


@dataclass(frozen=True)
class Histogram:
    """A native histogram as it is sent; integer counts unless `is_float`."""

    at_ms: int
    counts: Sequence[float]
    spans: Sequence[tuple[int, int]]
    zero: float = 0
    extra: float = 0
    schema: int = 0
    is_float: bool = False
    is_gauge: bool = False
    total_s: float = 1.0
    custom: Sequence[float] = ()
    negative: float = 0

    def encode(self) -> bytes:
        """Its message."""
        total = sum(self.counts) + self.zero + self.extra + self.negative
        parts = [fixed(3, self.total_s), varint(4 << 3) + zigzag(self.schema), fixed(5, 1e-9)]
        if self.is_float:
            parts += [fixed(2, total), fixed(7, self.zero)]
            parts.append(block(13, struct.pack(f"<{len(self.counts)}d", *self.counts)))
        else:
            parts += [varint(1 << 3) + varint(int(total)), varint(6 << 3) + varint(int(self.zero))]
            found = [int(count) for count in self.counts]
            deltas = [new - old for old, new in zip([0, *found], found, strict=False)]
            parts.append(block(12, b"".join(map(zigzag, deltas))))
            if self.negative:
                parts += [spans_of(8, [(0, 1)]), block(9, zigzag(int(self.negative)))]
        parts.append(spans_of(11, self.spans))
        if self.custom:
            parts.append(block(16, struct.pack(f"<{len(self.custom)}d", *self.custom)))
        parts += [varint(14 << 3) + varint(3 if self.is_gauge else 0)]
        return b"".join([*parts, varint(15 << 3) + varint(self.at_ms)])


def histograms_v1(labels: Labels, *found: Histogram) -> bytes:
    """A body of version 1 with one series of histograms."""
    content = b"".join(
        block(1, block(1, name.encode()) + block(2, value.encode()))
        for name, value in labels.items()
    )
    return packed(block(1, content + b"".join(block(4, one.encode()) for one in found)))


def histograms_v2(labels: Labels, *found: Histogram) -> bytes:
    """The same of version 2."""
    words = [word for pair in labels.items() for word in pair]
    symbols = ["", *dict.fromkeys(words)]
    refs = b"".join(varint(symbols.index(word)) for word in words)
    series = block(1, refs) + b"".join(block(3, one.encode()) for one in found)
    return packed(b"".join(block(4, word.encode()) for word in symbols) + block(5, series))
