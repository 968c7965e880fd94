"""Requests at a steady rate, whatever the answers take; latency counts from the planned time.

A client that waits for an answer before it asks again would ask a slow server less often, and
would not see what its users see.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp

from services.kernel.clock import make_rng

_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One kind of request.

    Attributes:
        name: How the report calls it.
        limit_ms: Largest p95 that is promised.
        paths: Requested in turn.
    """

    name: str
    limit_ms: float
    paths: tuple[str, ...]

    def request(self, i: int) -> _Request:
        """The `i`-th request of a load."""
        return _Request(self.name, self.paths[i % len(self.paths)])


@dataclass(frozen=True, slots=True)
class _Request:
    """One request to be made of an endpoint."""

    name: str
    path: str


@dataclass(frozen=True, slots=True)
class Shot:
    """One request as it went."""

    name: str
    latency_ms: float
    status: int
    n_bytes: int


def fire(
    url: str,
    key: str,
    endpoints: Sequence[Endpoint],
    rate_per_s: float,
    duration_s: float,
    seed: int,
) -> list[Shot]:
    """Send requests of all kinds, mixed, at a rate.

    Args:
        url: Address of the API.
        key: API key.
        endpoints: What is asked, each as often as the others.
        rate_per_s: Requests per second, at equal distances.
        duration_s: How long.
        seed: Of the order.
    """
    n = round(rate_per_s * duration_s)
    order = make_rng(seed, "load").permutation(n) % len(endpoints)
    plan = [endpoints[k].request(i) for i, k in enumerate(order)]
    gc.collect()
    gc.disable()  # a pause of this process would be counted as one of the server
    try:
        return asyncio.run(_fire(url, key, plan, 1.0 / rate_per_s))
    finally:
        gc.enable()


async def _fire(url: str, key: str, plan: Sequence[_Request], gap_s: float) -> list[Shot]:
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    headers = {"Authorization": f"Bearer {key}"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        url, headers=headers, timeout=timeout, connector=connector
    ) as session:
        start_s = time.perf_counter()
        tasks = []
        for i, request in enumerate(plan):
            at_s = start_s + i * gap_s
            await asyncio.sleep(max(0.0, at_s - time.perf_counter()))
            tasks.append(asyncio.create_task(_one(session, request, at_s)))
        return list(await asyncio.gather(*tasks))


async def _one(session: aiohttp.ClientSession, request: _Request, planned_s: float) -> Shot:
    try:
        async with session.get(request.path) as response:
            body = await response.read()
            status = response.status
    except (aiohttp.ClientError, TimeoutError):
        body, status = b"", 0
    return Shot(request.name, 1000.0 * (time.perf_counter() - planned_s), status, len(body))
