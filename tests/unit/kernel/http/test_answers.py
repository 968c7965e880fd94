"""Answers of other servers: whole, packed once, and never more in memory than the bound."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Sequence

import httpx
import pytest

from services.kernel.http.answers import AnswerTooLarge, AnswerUnreadable, read_chunks

TEXT = b"up 1\n" * 2_000
PACKED = gzip.compress(TEXT)
MEGABYTE = 2**20


def read(pieces: Sequence[bytes], encoding: str | None = None, most: int = len(TEXT)) -> bytes:
    """An answer that arrives in pieces."""
    headers = {} if encoding is None else {"Content-Encoding": encoding}

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers=headers, content=iter(pieces))

    with (
        httpx.Client(transport=httpx.MockTransport(answer)) as client,
        client.stream("GET", "http://test") as response,
    ):
        return b"".join(read_chunks(response, most))


@pytest.mark.parametrize("encoding", [None, "identity", ""])
def test_what_is_not_packed_is_read_as_it_is(encoding: str | None) -> None:
    assert read([TEXT[:7], b"", TEXT[7:]], encoding) == TEXT


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", " GZIP "])
def test_what_is_packed_is_unpacked(encoding: str) -> None:
    assert read([PACKED[i : i + 1] for i in range(len(PACKED))], encoding) == TEXT


@pytest.mark.parametrize("encoding", [None, "gzip"])
def test_nothing_is_nothing(encoding: str | None) -> None:
    assert read([], encoding) == b""


@pytest.mark.parametrize(("pieces", "encoding"), [([TEXT], None), ([PACKED], "gzip")])
def test_one_byte_more_is_too_large(pieces: list[bytes], encoding: str | None) -> None:
    with pytest.raises(AnswerTooLarge, match=f"more than {len(TEXT) - 1} bytes"):
        read(pieces, encoding, len(TEXT) - 1)


@pytest.mark.parametrize(
    ("packed", "encoding", "problem"),
    [
        (gzip.compress(PACKED), "gzip, gzip", "Content-Encoding is 'gzip, gzip'"),
        (zlib.compress(TEXT), "deflate", "Content-Encoding is 'deflate'"),
        (TEXT, "gzip", "incorrect header"),
        (PACKED[:-1], "gzip", "cut off"),
        (PACKED + PACKED, "gzip", "bytes follow"),
    ],
    ids=["twice", "deflated", "not packed", "cut off", "more follows"],  # the bytes hold the time
)
def test_what_cannot_be_unpacked_says_why(packed: bytes, encoding: str, problem: str) -> None:
    with pytest.raises(AnswerUnreadable, match=f"cannot be decompressed: .*{problem}"):
        read([packed], encoding)


def test_no_more_than_the_bound_is_ever_made() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    packed = b"".join(packer.compress(bytes(MEGABYTE)) for _ in range(256)) + packer.flush()
    tracemalloc.start()
    try:
        with pytest.raises(AnswerTooLarge):
            read([packed], "gzip", MEGABYTE)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 8 * MEGABYTE
