"""The simulated cluster's server in a thread of this process."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from types import TracebackType

import yaml
from aiohttp import web

from services.lab.cluster.cluster import ClusterSettings, SimulatedCluster
from services.lab.cluster.kubeconfig import DEFAULT_TOKEN, make_kubeconfig
from services.lab.cluster.wire.server import ApiServer

_START_LIMIT_S = 30.0


class BackgroundCluster:
    """A context manager: the server runs from enter to exit.

    Attributes:
        url: Where it listens, on loopback.
        token: Bearer token that may do everything.
    """

    def __init__(self, settings: ClusterSettings, *, port: int = 0) -> None:
        self.url = ""
        self.token = settings.admin_token or DEFAULT_TOKEN
        self._settings = settings
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._stop = asyncio.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="lab-cluster", daemon=True)

    def __enter__(self) -> BackgroundCluster:
        self._thread.start()
        self._started.wait(_START_LIMIT_S)
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def write_kubeconfig(self, path: Path) -> Path:
        """Write a kubeconfig for it."""
        path.write_text(yaml.safe_dump(make_kubeconfig(self.url, self.token)))
        return path

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except OSError as error:  # a port in use is the caller's to hear of
            self._failure = error
            self._started.set()
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        server = ApiServer(SimulatedCluster(self._settings))
        runner = web.AppRunner(server.make_app(), access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", self._port).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            self._started.set()
            await self._stop.wait()
        finally:
            await runner.cleanup()
