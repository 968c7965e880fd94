"""A push request's bytes to columns. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import orjson

from services.ingest.series.samples import (
    BAD_SAMPLE,
    BAD_TIME,
    BAD_VALUE,
    F64,
    I64,
    MOST_SERIES,
    SECOND_US,
    Rejections,
    Samples,
    make_samples,
    to_us,
)
from services.kernel.errors import InvalidInput, PayloadTooLarge
from services.kernel.http.json_keys import check_keys, read_json

_FAR_S = 1e11  # a plausible epoch in seconds is below; milliseconds are above
_CLIP_S = 9e12
_LONGEST_NAME = 253
_FIELDS = itemgetter("namespace", "workload", "indicator", "samples")
_HUGE = 1e300  # NaN, infinities and longer integers are read one by one


class PushedSeriesName(NamedTuple):
    """Names of the indicator that a series of a push is of."""

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
        empty: Series that were sent without any sample, in their order; none of `names`.
    """

    names: tuple[PushedSeriesName, ...]
    samples: Samples
    unreadable: dict[int, dict[str, int]]
    rejections: Rejections
    empty: tuple[PushedSeriesName, ...] = ()

    def check_any(self, place: str) -> None:
        """Refuse a request that holds no sample at all, so that nobody takes it for stored.

        Raises:
            InvalidInput: It does not; names the field at `place` and the first series.
        """
        if self.names:
            return
        n = len(self.empty)
        held = f"{self.empty[0]} has no sample" if n else "no series"
        more = f", as {n - 1} others" if n > 1 else ""
        raise InvalidInput(f"{place}: {held}{more}; send one sample at least, or no request")


def parse_push(body: bytes, max_samples: int) -> ParsedPush:
    """Read a push request.

    Raises:
        InvalidInput: It has not the documented shape.
        PayloadTooLarge: It holds more than `max_samples`, with a series without any as one, or
            more than `MOST_SERIES`.
    """
    check_counts(body, max_samples)
    return parse_entries(_entries(body), max_samples)


def parse_entries(entries: Sequence[Any], max_samples: int) -> ParsedPush:
    """The series of a request that is decoded.

    Raises: as `parse_push`.
    """
    usual = _usual(entries, max_samples)
    return _one_by_one(entries, max_samples) if usual is None else usual


def _usual(entries: Sequence[Any], max_samples: int) -> ParsedPush | None:
    """A request in which all is as it should be, read a column at a time; else None.

    What is odd anywhere is left to `_one_by_one`, which tells what and where.
    """
    try:
        columns = list(zip(*map(_FIELDS, entries), strict=True))
    except (TypeError, KeyError):
        return None
    if not columns or not _are_words([*columns[0], *columns[1], *columns[2]]):
        return None
    lists = columns[3]
    if set(map(type, lists)) != {list} or not all(lists):
        return None
    pairs = list(chain.from_iterable(lists))
    if len(pairs) > max_samples or not _are_pairs_of_numbers(pairs):
        return None
    try:
        seconds, value = np.array(pairs, dtype=np.float64).T
    except OverflowError:  # an integer of more than 308 digits
        return None
    if not ((np.abs(seconds) < _CLIP_S) & (np.abs(value) < _HUGE)).all():
        return None
    names = list(map(PushedSeriesName, *columns[:3]))
    number = {name: number for number, name in enumerate(dict.fromkeys(names))}
    own = range(len(names)) if len(number) == len(names) else map(number.__getitem__, names)
    series = np.repeat(np.fromiter(own, dtype=np.int64), list(map(len, lists)))
    samples = make_samples(series, _to_us(seconds), np.ascontiguousarray(value))
    return ParsedPush(tuple(number), samples, {}, Rejections())


def _are_words(words: list[Any]) -> bool:
    """Check whether all are names."""
    if set(map(type, words)) != {str}:
        return False
    lengths = set(map(len, words))
    return 0 < min(lengths) <= max(lengths) <= _LONGEST_NAME and "\0" not in "".join(words)


def _one_by_one(entries: Sequence[object], max_samples: int) -> ParsedPush:
    """A request, entry by entry.

    Raises:
        InvalidInput: It has not the documented shape.
        PayloadTooLarge: It holds more than `max_samples`.
    """
    columns = _Columns()
    n_samples = 0
    for position, entry in enumerate(entries):
        name, samples = _read_entry(position, entry)
        n_samples += max(1, len(samples))
        if n_samples > max_samples:
            raise _too_many(max_samples)
        if samples:
            columns.add(name, samples)
        else:
            columns.empty.append(name)
    return columns.parsed()


def check_counts(body: bytes, max_samples: int) -> None:
    """Refuse what holds too much before objects are made of it, each many times its text.

    A sample adds a bracket and two commas at most, a series without any two brackets and four
    commas; names hold neither.

    Raises:
        PayloadTooLarge: It does.
    """
    n_brackets = body.count(b"[") + body.count(b"{")
    if body.count(b"{") > MOST_SERIES + 1:
        raise PayloadTooLarge(
            f"observations: more than {MOST_SERIES} series in one request; send fewer at once"
        )
    if n_brackets > 3 * max_samples + 2 or body.count(b",") > 5 * max_samples:
        raise _too_many(max_samples)


def _too_many(max_samples: int) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"observations: more than {max_samples} samples in one request (a series without any "
        "counts as one); send fewer at once"
    )


@dataclass(slots=True)
class _Columns:
    """A push while it is read: plain lists, made arrays once at the end."""

    numbers: dict[PushedSeriesName, int] = field(default_factory=dict)
    series: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    unreadable: dict[int, dict[str, int]] = field(default_factory=dict)
    rejections: Rejections = field(default_factory=Rejections)
    empty: list[PushedSeriesName] = field(default_factory=list)

    def add(self, name: PushedSeriesName, samples: list[Any]) -> None:
        """Read the samples of one entry."""
        number = self.numbers.setdefault(name, len(self.numbers))
        if _are_number_pairs(samples):
            self.seconds += [sample[0] for sample in samples]
            self.values += [sample[1] for sample in samples]
            self.series += [number] * len(samples)
            return
        for sample in samples:
            found = _read_odd_sample(sample)
            if isinstance(found, _Unreadable):
                self.refuse(number, name, found)
            else:
                self.seconds.append(found[0])
                self.values.append(found[1])
                self.series.append(number)

    def refuse(self, number: int, name: PushedSeriesName, found: _Unreadable) -> None:
        """Count one sample that cannot be read."""
        counts = self.unreadable.setdefault(number, {})
        counts[found.reason] = counts.get(found.reason, 0) + 1
        self.rejections.add(found.reason, 1, f"{name}: {found.example}")

    def parsed(self) -> ParsedPush:
        """The columns as arrays."""
        seconds = np.array(self.seconds, dtype=np.float64)
        samples = make_samples(self.series, _to_us(seconds), self.values)
        names, empty = tuple(self.numbers), tuple(self.empty)
        return ParsedPush(names, samples, self.unreadable, self.rejections, empty)


def _to_us(seconds: F64) -> I64:
    return np.rint(np.clip(seconds, -_CLIP_S, _CLIP_S) * SECOND_US).astype(np.int64)


@dataclass(frozen=True, slots=True)
class _Unreadable:
    reason: str
    example: str


def load_json(body: bytes) -> object:
    """What a body holds.

    Raises:
        BadRequest: A key is given twice in one object.
        InvalidInput: It is no JSON.
    """
    try:
        content: object = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        content = _loads_lenient(body, error)
    else:
        check_keys(body, content)
    return content


def _entries(body: bytes) -> Sequence[object]:
    content = load_json(body)
    if not isinstance(content, dict):
        raise InvalidInput(
            f'body: must be a JSON object {{"observations": [...]}}, got {_shown(content)}'
        )
    if "observations" not in content:
        given = f"; the body has {sorted(map(str, content))[:10]}" if content else ""
        raise InvalidInput(f"observations: is missing, and needed{given}", "/observations")
    entries = content["observations"]
    if not isinstance(entries, list):
        raise InvalidInput(
            f"observations={_shown(entries)}: must be a list of series, each an object with "
            "namespace, workload, indicator and samples",
            "/observations",
        )
    return entries


def _loads_lenient(body: bytes, strict: orjson.JSONDecodeError) -> object:
    """JSON with NaN and Infinity, as many clients write it: only those samples are refused."""
    try:
        content = read_json(body)
        if not body.isascii() or b"\\" in body:
            json.dumps(content, ensure_ascii=False).encode()  # half a character is no text
        return content
    except (ValueError, RecursionError):
        raise InvalidInput(f"body: not valid JSON ({strict}); send UTF-8 JSON") from strict


def _read_entry(position: int, entry: object) -> tuple[PushedSeriesName, list[object]]:
    where, pointer = f"observations[{position}]", f"/observations/{position}"
    if not isinstance(entry, dict):
        rule = "must be an object with namespace, workload, indicator and samples"
        raise InvalidInput(f"{where}: {rule}, got {_shown(entry)}", pointer)
    for key in ("namespace", "workload", "indicator", "samples"):
        if key not in entry:
            raise InvalidInput(f"{where}.{key}: is missing, and needed", f"{pointer}/{key}")
    words = []
    for key in ("namespace", "workload", "indicator"):
        word = entry[key]
        if not isinstance(word, str) or not 0 < len(word) <= _LONGEST_NAME or "\0" in word:
            raise InvalidInput(
                f"{where}.{key}={_shown(word)} must be a string of 1 to {_LONGEST_NAME} characters",
                f"{pointer}/{key}",
            )
        words.append(word)
    samples = entry["samples"]
    if not isinstance(samples, list):
        raise InvalidInput(
            f"{where}.samples={_shown(samples)}: must be a list of [time, value] pairs",
            f"{pointer}/samples",
        )
    return PushedSeriesName(*words), samples


def _shown(value: object) -> str:
    """A value of JSON in a line, cut short."""
    if isinstance(value, list | dict):
        return "[...]" if isinstance(value, list) else "{...}"
    return repr(value[:60]) if isinstance(value, str) else json.dumps(value)[:60]


def _are_number_pairs(samples: list[Any]) -> bool:
    """Check for the usual case, two numbers each."""
    if not samples:
        return True
    return _are_pairs_of_numbers(samples) and all(
        -_CLIP_S < sample[0] < _CLIP_S and -_HUGE < sample[1] < _HUGE for sample in samples
    )


def _are_pairs_of_numbers(samples: list[Any]) -> bool:
    if set(map(type, samples)) != {list} or set(map(len, samples)) != {2}:
        return False
    return set(map(type, chain.from_iterable(samples))) <= {int, float}


def _read_odd_sample(sample: object) -> tuple[float, float] | _Unreadable:
    """(epoch seconds, value) of a sample in another form, or why it cannot be read."""
    if not isinstance(sample, list) or len(sample) != 2:
        return _Unreadable(BAD_SAMPLE, f"{str(sample)[:60]} must be a pair [time, value]")
    seconds, value = read_time(sample[0]), _read_value(sample[1])
    if seconds is None:
        rule = "must be epoch seconds, or RFC 3339 with an offset"
        return _Unreadable(BAD_TIME, f"time {repr(sample[0])[:60]} {rule}")
    if value is None:
        return _Unreadable(BAD_VALUE, f"value {repr(sample[1])[:60]} must be a number")
    return seconds, value


def read_time(raw: object) -> float | None:
    """Epoch seconds of a time as it was sent; None: it cannot be read."""
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        return None
    if isinstance(raw, str):
        try:
            at = datetime.fromisoformat(raw)
        except ValueError:
            return None
        return None if at.tzinfo is None else to_us(at) / SECOND_US
    if raw != raw:  # NaN; an integer may be too large to be asked otherwise
        return None
    return float(max(-_CLIP_S, min(_CLIP_S, raw)))


def _read_value(raw: object) -> float | None:
    if isinstance(raw, str):
        return read_number(raw)
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        return None
    try:
        return float(raw)
    except OverflowError:  # an integer of more than 308 digits
        return math.inf


def read_number(text: str) -> float | None:
    """The number that a text holds; None: it holds none.

    Python reads more than senders mean: digits of other scripts, and `1_042`.
    """
    if not text.isascii() or "_" in text:
        return None
    try:
        return float(text)
    except ValueError:
        return None


def describe_time(at_us: int) -> str:
    """A hint for a time that looks like another unit; else empty."""
    if at_us / SECOND_US > _FAR_S:
        return " (looks like milliseconds: send seconds)"
    return ""
