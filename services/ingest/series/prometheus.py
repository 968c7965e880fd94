"""Prometheus as a source, over its HTTP API."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
import numpy as np
import orjson

from services.ingest.series.samples import SECOND_US
from services.ingest.series.source import (
    BAD_QUERY,
    BAD_STATUS,
    FORBIDDEN,
    MALFORMED,
    NOT_EVALUATED,
    PARTIAL,
    SEVERAL_SERIES,
    TIMEOUT,
    TOO_LARGE,
    UNREACHABLE,
    LabelledPoints,
    Points,
    RangeQuery,
    SourceError,
)
from services.kernel.errors import ConfigurationError
from services.kernel.http.answers import ACCEPTED, AnswerTooLarge, AnswerUnreadable, read_chunks
from services.kernel.security.sources import SourceForbidden

_MAX_POINTS = 10_000  # Prometheus refuses more than 11,000 points per series
_RETRIED = frozenset({429, 502, 503, 504})
_ANNOTATION = "PromQL"
"""What warnings of the expression itself begin with; any other is of data that are missing."""


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """Bounds of one query.

    Attributes:
        timeout_s: Time for an answer.
        max_bytes: Size of an answer.
        n_retries: Further tries after a broken connection or a busy server.
        backoff_s: Wait before the first of them; doubled each time.
    """

    timeout_s: float = 10.0
    max_bytes: int = 16_000_000
    n_retries: int = 2
    backoff_s: float = 0.1


class PrometheusSource:
    """`query_range` of a Prometheus (or an API like it: Thanos, Mimir, VictoriaMetrics).

    Only the configured host is ever asked: expressions travel as form data, redirects are not
    followed, and proxies of the environment are not used.
    """

    name = "prometheus"

    def __init__(
        self,
        base_url: str,
        limits: FetchLimits | None = None,
        *,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Ask the server at `base_url`.

        Raises:
            ConfigurationError: It is no plain http(s) URL.
        """
        self._url = check_url(base_url).rstrip("/") + "/api/v1/query_range"
        self._limits = limits or FetchLimits()
        self._sleep = sleep
        self._client = httpx.Client(
            headers=ACCEPTED,
            timeout=self._limits.timeout_s,
            follow_redirects=False,
            trust_env=False,
            transport=transport,
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def fetch(self, query: RangeQuery) -> Points:
        """Evaluate `query`, in pieces where the server would refuse the whole."""
        parts = [to_points(*piece, query.expression) for piece in self._pieces(query)]
        return _joined(parts)

    def fetch_series(
        self, query: RangeQuery, warned: Callable[[str], object] | None = None
    ) -> list[LabelledPoints]:
        """Evaluate `query`, which may give any number of series.

        Args:
            query: What is asked.
            warned: Gets what the server warns of, e.g. that a part of the data is missing; None: an
                answer that lacks a part fails.

        Raises:
            SourceError: It fails.
        """
        parts: dict[tuple[tuple[str, str], ...], list[Points]] = {}
        for status, body in self._pieces(query):
            for one in to_series(status, body, query.expression, warned):
                parts.setdefault(tuple(sorted(one.labels.items())), []).append(one.points)
        return [LabelledPoints(dict(labels), _joined(own)) for labels, own in parts.items()]

    def _pieces(self, query: RangeQuery) -> Iterator[tuple[int, bytes]]:
        """Status and body of the answer for each piece of the range."""
        piece = timedelta(seconds=query.resolution_s * (_MAX_POINTS - 1))
        step = timedelta(seconds=query.resolution_s)
        start_at = query.start_at
        while start_at <= query.end_at:
            end_at = min(start_at + piece, query.end_at)
            yield self._fetch_piece(query, start_at, end_at)
            start_at = end_at + step

    def _fetch_piece(
        self, query: RangeQuery, start_at: datetime, end_at: datetime
    ) -> tuple[int, bytes]:
        form = {
            "query": query.expression,
            "start": f"{start_at.astimezone(UTC).timestamp():.3f}",
            "end": f"{end_at.astimezone(UTC).timestamp():.3f}",
            "step": str(query.resolution_s),
            # without a unit: with one Prometheus takes no fraction
            "timeout": f"{self._limits.timeout_s:g}",
        }
        if query.lookback_s is not None:
            form["lookback_delta"] = f"{query.lookback_s}s"
        return self._post_with_retries(form)

    def _post_with_retries(self, form: dict[str, str]) -> tuple[int, bytes]:
        for attempt in range(self._limits.n_retries + 1):
            is_last = attempt == self._limits.n_retries
            try:
                status, body = self._post(form)
                if _is_timeout(status, body):
                    raise self._timeout()
                if status not in _RETRIED or is_last:
                    return status, body
            except httpx.TimeoutException as error:
                raise self._timeout() from error
            except SourceForbidden as error:
                raise SourceError(FORBIDDEN, f"{self._url}: {error}") from error
            except AnswerUnreadable as error:
                raise SourceError(MALFORMED, f"{self._url}: the answer {error}") from error
            except AnswerTooLarge as error:
                raise SourceError(
                    TOO_LARGE,
                    f"{self._url} answers with {error}; "
                    "aggregate the query to one series, e.g. sum(...)",
                ) from error
            except httpx.TransportError as error:
                if is_last:
                    raise SourceError(
                        UNREACHABLE, f"{self._url} cannot be reached: {error}"
                    ) from error
            self._sleep(self._limits.backoff_s * 2**attempt)
        raise AssertionError("the last attempt returns or raises")

    def _timeout(self) -> SourceError:
        return SourceError(
            TIMEOUT, f"{self._url} gave no answer within {self._limits.timeout_s:g} s"
        )

    def _post(self, form: dict[str, str]) -> tuple[int, bytes]:
        deadline_s = time.monotonic() + self._limits.timeout_s  # httpx limits each read only
        with self._client.stream("POST", self._url, data=form) as response:
            chunks = []
            for chunk in read_chunks(response, self._limits.max_bytes):
                if time.monotonic() > deadline_s:
                    raise httpx.ReadTimeout("the answer trickles in too slowly")
                chunks.append(chunk)
            return response.status_code, b"".join(chunks)


def check_url(url: str) -> str:
    """`url` if it is a plain http(s) URL of a server.

    Raises:
        ConfigurationError: It is not.
    """
    try:
        parts = urlsplit(url)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_is_valid = urlsplit(""), False
    plain = not (parts.username or parts.password or parts.query or parts.fragment)
    if parts.scheme in {"http", "https"} and parts.hostname and plain and port_is_valid:
        return url
    shown = url.rsplit("@", 1)[-1]
    raise ConfigurationError(
        f"HARMONY_PROMETHEUS_URL={shown!r} must be an http:// or https:// URL of a server without "
        "user, query or fragment, e.g. http://prometheus.monitoring:9090"
    )


def _is_timeout(status: int, body: bytes) -> bool:
    """Check whether the server itself gave the query up: no server that is busy, to be tried again.

    Prometheus answers 503 then, as it does while it starts.
    """
    if status not in _RETRIED:
        return False
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return isinstance(answer, dict) and answer.get("errorType") == "timeout"


def to_points(status: int, body: bytes, expression: str) -> Points:
    """The values in a `query_range` answer of at most one series.

    Raises:
        SourceError: It is an error, malformed or partial, or holds more than one series.
    """
    shown, result = _result(status, body, expression)
    if len(result) > 1:
        raise SourceError(
            SEVERAL_SERIES,
            f"query {shown!r} gives {len(result)} series where one is needed; aggregate it, "
            "e.g. sum(...), avg(...) or max(...)",
        )
    return _joined([_series_points(one, shown) for one in result])


def to_series(
    status: int, body: bytes, expression: str, warned: Callable[[str], object] | None = None
) -> list[LabelledPoints]:
    """The series in a `query_range` answer; `warned` gets its warnings.

    Raises:
        SourceError: It is an error or malformed; it is partial, and nobody is to be warned.
    """
    shown, result = _result(status, body, expression, warned)
    return [LabelledPoints(_labels(one), _series_points(one, shown)) for one in result]


def _labels(series: object) -> dict[str, str]:
    metric = series.get("metric") if isinstance(series, dict) else None
    return {str(k): str(v) for k, v in metric.items()} if isinstance(metric, dict) else {}


def _joined(parts: Sequence[Points]) -> Points:
    """Values of pieces of a range, one after the other."""
    if not parts:
        return Points(np.zeros(0, dtype=np.int64), np.zeros(0))
    return Points(
        np.concatenate([part.at_us for part in parts]),
        np.concatenate([part.value for part in parts]),
    )


def _result(
    status: int, body: bytes, expression: str, warned: Callable[[str], object] | None = None
) -> tuple[str, list[object]]:
    """The expression as it is shown, and the series of the answer.

    Raises:
        SourceError: It is an error or malformed; it is partial, and nobody is to be warned.
    """
    shown = expression if len(expression) <= 120 else expression[:117] + "..."
    answer = _loads(status, body, shown)
    if status != 200 or answer.get("status") != "success":
        detail = str(answer.get("error", ""))[:300]
        reason = _reason(status, answer.get("errorType"))
        raise SourceError(reason, f"query {shown!r}: status {status}: {detail}")
    warnings = _warnings(answer)
    if warned is not None:
        for text in warnings:
            warned(text)
    elif missing := [text for text in warnings if not text.startswith(_ANNOTATION)]:
        raise SourceError(
            PARTIAL,
            f"query {shown!r}: a part of the data is missing, so nothing of the answer is taken; "
            f"look at the stores behind the source: {missing[0]}",
        )
    data = answer.get("data")
    result = data.get("result") if isinstance(data, dict) else None
    if not isinstance(result, list):
        raise SourceError(MALFORMED, f"query {shown!r}: the answer holds no data.result")
    return shown, result


def _reason(status: int, kind: object) -> str:
    """Why a server gives no result.

    What fails while it is evaluated need not be wrong: Thanos says so too (422) while a store does
    not answer, and any server of a stretch that holds more samples than it loads at once.
    """
    if kind == "bad_data" or status == 400:
        return BAD_QUERY
    return NOT_EVALUATED if kind == "execution" or status == 422 else BAD_STATUS


def _warnings(answer: dict[str, Any]) -> list[str]:
    """What the server warns of. VictoriaMetrics says by a field of its own that it lacks a part."""
    given = answer.get("warnings")
    texts = [str(text)[:300] for text in given] if isinstance(given, list) else []
    if answer.get("isPartial") is True:
        texts.append("the answer is partial (isPartial)")
    return texts


def _loads(status: int, body: bytes, shown: str) -> dict[str, Any]:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        answer = None
    if isinstance(answer, dict):
        return answer
    if status != 200:
        raise SourceError(BAD_STATUS, f"query {shown!r}: status {status}; expected 200")
    raise SourceError(
        MALFORMED, f"query {shown!r}: the answer is no JSON object; is this a Prometheus?"
    )


def _series_points(series: object, shown: str) -> Points:
    try:
        if isinstance(series, dict) and "histograms" in series and "values" not in series:
            raise SourceError(
                BAD_QUERY,
                f"query {shown!r} gives a native histogram; use histogram_quantile(...) or "
                "histogram_sum(...)",
            )
        values = cast("dict[str, Any]", series)["values"]  # what it is shows in the except clause
        # Prometheus writes values as text; float() reads its NaN and +Inf
        table = np.array([(float(at_s), float(value)) for at_s, value in values], dtype=np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise SourceError(MALFORMED, f"query {shown!r}: series without usable values") from error
    table = table.reshape(-1, 2)
    return Points(np.rint(table[:, 0] * SECOND_US).astype(np.int64), table[:, 1])
