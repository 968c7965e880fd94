"""A TCP proxy that cuts, delays or holds back what goes through it."""

from __future__ import annotations

import asyncio
import threading
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from types import TracebackType

_CHUNK_BYTES = 65_536
_START_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where connections are passed on to.

    Attributes:
        port: TCP port on this machine; 0: `path` is meant.
        path: Unix socket.
    """

    port: int = 0
    path: str = ""


class FaultProxy(AbstractContextManager["FaultProxy"]):
    """Passes connections on from a free loopback port; runs in a thread of its own.

    Attributes:
        port: Where it listens.
        n_cut: Connections that it cut, or did not take.
        n_delayed: Pieces that it passed on late.
        n_held: Pieces that it held back until it was released.
    """

    def __init__(self, upstream: Upstream) -> None:
        """Listen once the context is entered."""
        self._upstream = upstream
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="fault-proxy", daemon=True)
        self._ready = threading.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._passes = asyncio.Event()
        self._is_refusing = False
        self._delay_s = 0.0
        self.port = 0
        self.n_cut = self.n_delayed = self.n_held = 0

    def __enter__(self) -> FaultProxy:
        self._thread.start()
        if not self._ready.wait(_START_TIMEOUT_S) or not self.port:
            raise OSError("the proxy does not listen")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop)
        self._thread.join(_START_TIMEOUT_S)

    @property
    def n_open(self) -> int:
        """Connections that are passed on now."""
        return len(self._writers) // 2

    def cut(self) -> None:
        """Break all connections, and take none until `mend`."""
        self._is_refusing = True
        self._loop.call_soon_threadsafe(self._break_all)

    def delay(self, seconds: float) -> None:
        """Pass on each piece late, until `mend`."""
        self._delay_s = seconds

    def stall(self) -> None:
        """Pass on nothing, with all connections open, until `mend`."""
        self._loop.call_soon_threadsafe(self._passes.clear)

    def mend(self, *, cut: bool = False, delay: bool = False, stall: bool = False) -> None:
        """End what is named."""
        if cut:
            self._is_refusing = False
        if delay:
            self._delay_s = 0.0
        if stall:
            self._loop.call_soon_threadsafe(self._passes.set)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._listen())
            self._ready.set()
            self._loop.run_forever()
            self._loop.run_until_complete(self._end())
        finally:
            self._ready.set()
            self._loop.close()

    async def _listen(self) -> None:
        self._passes.set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])

    def _stop(self) -> None:
        self._loop.stop()

    async def _end(self) -> None:
        if self._server is not None:
            self._server.close()
        self._passes.set()
        for writer in self._writers:
            writer.transport.abort()
        if self._tasks:  # each ends with its connections
            await asyncio.wait(set(self._tasks), timeout=_START_TIMEOUT_S)

    def _break_all(self) -> None:
        self.n_cut += self.n_open
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if self._is_refusing:
            self.n_cut += 1
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await self._connect()
        except OSError:  # the server behind is away: so is this one
            writer.transport.abort()
            return
        ends = (writer, far_writer)
        self._writers.update(ends)
        pumps = [
            asyncio.ensure_future(self._pump(reader, far_writer)),
            asyncio.ensure_future(self._pump(far_reader, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._writers.difference_update(ends)
            for end in ends:
                end.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._upstream.port:
            return await asyncio.open_connection("127.0.0.1", self._upstream.port)
        return await asyncio.open_unix_connection(self._upstream.path)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on until either end is gone."""
        with suppress(OSError):
            while data := await reader.read(_CHUNK_BYTES):
                if self._delay_s:
                    self.n_delayed += 1
                    await asyncio.sleep(self._delay_s)
                if not self._passes.is_set():
                    self.n_held += 1
                    await self._passes.wait()
                writer.write(data)
                await writer.drain()
