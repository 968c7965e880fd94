"""Reading a request's body with a bound."""

from __future__ import annotations

from fastapi import Request

from services.kernel.errors import PayloadTooLarge


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The body, bounded also where its length is not declared.

    Raises:
        PayloadTooLarge: It is longer than `max_bytes`.
    """
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_bytes:
            raise PayloadTooLarge(f"body is over the limit of {max_bytes} bytes; send less at once")
        chunks.append(chunk)
    return b"".join(chunks)
