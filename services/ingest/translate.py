"""A push request's bytes to columns. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

import numpy as np
import orjson

from services.ingest.samples import (
    BAD_SAMPLE,
    BAD_TIME,
    BAD_VALUE,
    F64,
    I64,
    SECOND_US,
    Rejections,
    Samples,
    join_samples,
    make_samples,
    to_us,
)
from services.kernel.errors import InvalidInput, PayloadTooLarge

_FAR_S = 1e11  # a plausible epoch in seconds is below; milliseconds are above
_CLIP_S = 9e12


@dataclass(frozen=True, slots=True)
class PushedSeriesName:
    """Which indicator a series of a push is of."""

    namespace: str
    workload: str
    indicator: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.workload} {self.indicator}"


@dataclass(frozen=True, slots=True)
class ParsedPush:
    """A push request as columns.

    Attributes:
        names: Series, each name once.
        samples: Readable samples; a series is a position in `names`.
        unreadable: Per series number the samples that are no [time, value] pair.
        rejections: The same, counted by reason with an example.
    """

    names: tuple[PushedSeriesName, ...]
    samples: Samples
    unreadable: dict[int, dict[str, int]]
    rejections: Rejections


def parse_push(body: bytes, max_samples: int) -> ParsedPush:
    """Read a push request.

    Raises:
        InvalidInput: It has not the documented shape.
        PayloadTooLarge: It holds more than `max_samples`.
    """
    numbers: dict[PushedSeriesName, int] = {}
    parts: list[Samples] = []
    unreadable: dict[int, dict[str, int]] = {}
    rejections = Rejections()
    n_samples = 0
    for position, entry in enumerate(_entries(body)):
        name, samples = _read_entry(position, entry)
        n_samples += len(samples)
        if n_samples > max_samples:
            raise PayloadTooLarge(
                f"observations: more than {max_samples} samples in one request; send fewer at once"
            )
        series = numbers.setdefault(name, len(numbers))
        part = _read_samples(samples)
        if part is None:
            part, refused = _read_odd_samples(samples)
            counts = unreadable.setdefault(series, {})
            for reason, example in refused:
                counts[reason] = counts.get(reason, 0) + 1
                rejections.add(reason, 1, f"{name}: {example}")
        parts.append(Samples(part.series + series, part.at_us, part.value))
    return ParsedPush(tuple(numbers), join_samples(parts), unreadable, rejections)


def _entries(body: bytes) -> Sequence[object]:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        content = _loads_lenient(body, error)
    entries = content.get("observations") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise InvalidInput(
            'body: must be a JSON object {"observations": [...]}, '
            f"got {type(content).__name__}"
            + (f" with keys {sorted(map(str, content))[:10]}" if isinstance(content, dict) else "")
        )
    return entries


def _loads_lenient(body: bytes, strict: orjson.JSONDecodeError) -> object:
    """JSON with NaN and Infinity, as many clients write it: only those samples are refused."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidInput(f"body: not valid JSON ({strict}); send UTF-8 JSON") from strict


def _read_entry(position: int, entry: object) -> tuple[PushedSeriesName, list[object]]:
    where = f"observations[{position}]"
    if not isinstance(entry, dict):
        raise InvalidInput(f"{where}: must be an object, got {type(entry).__name__}")
    words = []
    for key in ("namespace", "workload", "indicator"):
        word = entry.get(key)
        if not isinstance(word, str) or not 0 < len(word) <= 253 or "\0" in word:
            raise InvalidInput(
                f"{where}.{key}={str(word)[:60]!r} must be a string of 1 to 253 characters"
            )
        words.append(word)
    samples = entry.get("samples")
    if not isinstance(samples, list):
        raise InvalidInput(f"{where}.samples: must be a list of [time, value] pairs")
    return PushedSeriesName(*words), samples


def _read_samples(samples: list[object]) -> Samples | None:
    """The usual case, two numbers each; None if anything is different."""
    if not samples:
        return make_samples([], [], [])
    if set(map(type, samples)) != {list} or set(map(len, samples)) != {2}:  # type: ignore[arg-type]  # lists
        return None
    if not set(map(type, chain.from_iterable(samples))) <= {int, float}:  # type: ignore[arg-type]  # lists
        return None
    table = np.array(samples, dtype=np.float64)
    if not np.isfinite(table[:, 0]).all():
        return None
    return Samples(np.zeros(len(table), dtype=np.int64), _seconds_to_us(table[:, 0]), table[:, 1])


def _seconds_to_us(seconds: F64) -> I64:
    at_us: F64 = np.rint(np.clip(seconds, -_CLIP_S, _CLIP_S) * SECOND_US)
    return at_us.astype(np.int64)


def _read_odd_samples(samples: list[object]) -> tuple[Samples, list[tuple[str, str]]]:
    at_us: list[int] = []
    values: list[float] = []
    refused: list[tuple[str, str]] = []
    for sample in samples:
        if not isinstance(sample, list) or len(sample) != 2:
            refused.append((BAD_SAMPLE, f"{str(sample)[:60]} must be a pair [time, value]"))
            continue
        time_us, value = _read_time(sample[0]), _read_value(sample[1])
        if time_us is None:
            shown = repr(sample[0])[:60]
            rule = "must be epoch seconds, or RFC 3339 with an offset"
            refused.append((BAD_TIME, f"time {shown} {rule}"))
        elif value is None:
            refused.append((BAD_VALUE, f"value {repr(sample[1])[:60]} must be a number"))
        else:
            at_us.append(time_us)
            values.append(value)
    return make_samples([0] * len(values), at_us, values), refused


def _read_time(raw: object) -> int | None:
    if isinstance(raw, bool):
        return None
    if isinstance(raw, int | float):
        seconds = float(raw) if abs(raw) < _CLIP_S else np.sign(raw) * _CLIP_S
        return None if np.isnan(seconds) else round(seconds * SECOND_US)
    if isinstance(raw, str):
        try:
            at = datetime.fromisoformat(raw)
        except ValueError:
            return None
        return None if at.tzinfo is None else to_us(at)
    return None


def _read_value(raw: object) -> float | None:
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        return None
    try:
        return float(raw)
    except (ValueError, OverflowError):
        return float("inf") if isinstance(raw, int) else None


def describe_time(at_us: int) -> str:
    """A hint for a time that looks like another unit; else empty."""
    if at_us / SECOND_US > _FAR_S:
        return " (looks like milliseconds: send seconds)"
    return ""
