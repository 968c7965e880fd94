"""Requests as senders make them: JSON of the push API, and remote writes of version 1."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

import cramjam
import numpy as np
import orjson
from numpy.typing import NDArray

from services.lab.bench.ingest.repository import INDICATORS, NAMESPACE, workload_name

PROTOCOLS = ("push", "remote-write")
_INSTANCE = {"instance": "10.0.0.7:9090", "job": "recording-rules"}
_VALUE = struct.Struct("<BBBd")  # a sample's block: tag and length, then the value


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples of one request.

    Attributes:
        series: Numbers of the series, (N,).
        at_ms: Times of the samples of each series, (M,).
        value: (N, M).
    """

    series: NDArray[np.int64]
    at_ms: NDArray[np.int64]
    value: NDArray[np.float64]


@dataclass(slots=True)
class Sender:
    """Makes the requests of one protocol.

    Attributes:
        protocol: One of `PROTOCOLS`.
    """

    protocol: str
    _labels: dict[int, bytes] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Route of the requests."""
        return "/v1/observations" if self.protocol == "push" else "/api/v1/write"

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the requests."""
        if self.protocol == "push":
            return {"Content-Type": "application/json"}
        return {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}

    def body(self, batch: Batch) -> bytes:
        """One request."""
        return self._json(batch) if self.protocol == "push" else self._snappy(batch)

    def _json(self, batch: Batch) -> bytes:
        at_s = (batch.at_ms / 1000).tolist()
        entries = [
            {
                "namespace": NAMESPACE,
                "workload": workload_name(number // len(INDICATORS)),
                "indicator": INDICATORS[number % len(INDICATORS)],
                "samples": list(zip(at_s, values, strict=True)),
            }
            for number, values in zip(batch.series.tolist(), batch.value.tolist(), strict=True)
        ]
        return orjson.dumps({"observations": entries})

    def _snappy(self, batch: Batch) -> bytes:
        times = [b"\x10" + _varint(at_ms) for at_ms in batch.at_ms.tolist()]
        parts = []
        for number, values in zip(batch.series.tolist(), batch.value.tolist(), strict=True):
            if number not in self._labels:
                self._labels[number] = _label_block(number)
            content = self._labels[number] + _samples(values, times)
            parts.append(_block(1, content))
        return bytes(cramjam.snappy.compress_raw(b"".join(parts)))


def _samples(values: Sequence[float], times: Sequence[bytes]) -> bytes:
    pairs = zip(values, times, strict=True)
    return b"".join(_VALUE.pack(0x12, 9 + len(time), 0x09, value) + time for value, time in pairs)


def _label_block(number: int) -> bytes:
    labels = {
        "__name__": "harmony:indicator",
        "indicator": INDICATORS[number % len(INDICATORS)],
        **_INSTANCE,
        "namespace": NAMESPACE,
        "workload": workload_name(number // len(INDICATORS)),
    }
    return b"".join(
        _block(1, _block(1, name.encode()) + _block(2, value.encode()))
        for name, value in sorted(labels.items())
    )


def _block(field_number: int, content: bytes) -> bytes:
    return _varint(field_number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])
