"""Answers of other servers, unpacked here within their bound.

httpx unpacks whatever is announced, layer after layer, before anything can be counted: a kilobyte
on the wire becomes gigabytes in memory.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

import httpx

ACCEPTED: Final = {"Accept-Encoding": "gzip"}
"""Header of a request whose answer is read here."""
_GZIP = 16 + zlib.MAX_WBITS


class AnswerTooLarge(ValueError):
    """An answer has more bytes than its bound."""


class AnswerUnreadable(ValueError):
    """An answer is packed in a way that is not unpacked; the text goes on after its name."""


def read_chunks(response: httpx.Response, most: int) -> Iterator[bytes]:
    """The body of a streamed answer, of at most `most` bytes once unpacked.

    Something is given for each piece that arrives, if only nothing, so time can be checked between.

    Raises:
        AnswerTooLarge: It is longer.
        AnswerUnreadable: It is packed otherwise than once with gzip, or is no whole gzip stream.
        httpx.HTTPError: It does not arrive.
    """
    unpacker = _unpacker(response)
    size, is_begun = 0, False
    for raw in _raw(response):
        is_begun = is_begun or bool(raw)
        chunk = raw if unpacker is None else _unpack(unpacker, raw, most - size + 1)
        size += len(chunk)
        if size > most:
            raise AnswerTooLarge(f"more than {most} bytes")
        yield chunk
    if unpacker is not None and is_begun and not unpacker.eof:
        raise AnswerUnreadable("cannot be decompressed: its gzip stream is cut off")


def _unpacker(response: httpx.Response) -> zlib._Decompress | None:
    """What unpacks the body; None: it is not packed."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding in {"", "identity"}:
        return None
    if encoding in {"gzip", "x-gzip"}:
        return zlib.decompressobj(_GZIP)
    raise AnswerUnreadable(
        f"cannot be decompressed: its Content-Encoding is {encoding[:40]!r}, where gzip, once, "
        "or none was asked for"
    )


def _raw(response: httpx.Response) -> Iterator[bytes]:
    stream = response.stream
    if not isinstance(stream, httpx.SyncByteStream):
        raise TypeError("the answer is one of an asynchronous client")
    yield from stream


def _unpack(unpacker: zlib._Decompress, raw: bytes, most: int) -> bytes:
    """What `raw` unpacks to; more than `most` bytes are neither made nor looked for."""
    try:
        chunk = unpacker.decompress(raw, most)
    except zlib.error as error:
        raise AnswerUnreadable(f"cannot be decompressed: {error}") from error
    if unpacker.unused_data:
        raise AnswerUnreadable("cannot be decompressed: bytes follow its gzip stream")
    return chunk
