"""Remote writes as a sender makes them, written with the wire format and not with our stubs."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

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
