"""The loop that refreshes the facts of the fleet, woken by notifications of the database."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import structlog

from services.kernel import telemetry
from services.kernel.db.notifications import listen
from services.kernel.errors import Unavailable
from services.scaler.plan import Advice
from services.scaler.repository import CHANNELS
from services.scaler.service import FleetFacts, ScalerDeps
from services.scaler.translate import Key

log = structlog.get_logger("scaler")

_SHORTEST_REST_S = 0.1
_LONGEST_REST_S = 2.0
_LATE_AFTER = 3


class Watch:
    """Refreshes the facts whenever notified and at least every interval, and wakes who waits.

    Everything but the refresh itself runs in the event loop. Between two refreshes it rests for
    as long as the last one took, so a storm of notifications costs half a core at most.
    """

    def __init__(self, deps: ScalerDeps) -> None:
        """Watch with `deps`, once started."""
        self.fleet = FleetFacts()
        self.is_closing = False
        self._deps = deps
        self._wake = asyncio.Event()
        self._next = asyncio.Event()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="refresh")
        self._tasks: list[asyncio.Task[None]] = []
        self._n_begun = 0
        self._n_done = 0
        self._problem: Unavailable | None = None
        self._succeeded_s: float | None = None

    @property
    def is_current(self) -> bool:
        """True where the facts were read lately."""
        if self._succeeded_s is None:
            return False
        age_s = time.monotonic() - self._succeeded_s
        return age_s < _LATE_AFTER * self._deps.settings.scaler_refresh_s

    def start(self) -> None:
        """Begin, in the running event loop."""
        url = self._deps.engine.url.render_as_string(hide_password=False)
        listening = listen(url, CHANNELS, self._notified, self._listen_broken)
        self._tasks = [
            asyncio.create_task(listening, name="listen"),
            asyncio.create_task(self._run(), name="refresh"),
        ]

    async def stop(self) -> None:
        """End those who wait, then the loop."""
        self.is_closing = True
        self._wake_waiting()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self._executor.shutdown, wait=True)

    async def fresh(self) -> int:
        """Wait for a refresh that begins from now on; its number.

        Raises:
            Unavailable: It failed.
        """
        wanted = self._n_begun + 1
        self._wake.set()
        number = await self.after(wanted - 1)
        if self._problem is not None:
            raise self._problem
        return number

    async def after(self, number: int) -> int:
        """Wait until a later refresh than `number` has ended, or all ends; the newest number."""
        while self._n_done <= number and not self.is_closing:
            await self._next.wait()
        return self._n_done

    def advice(self, key: Key, part: str = "") -> Advice:
        """The advice for a workload, or one of its parts, from the last refresh.

        Raises:
            NotFound: The workload is not there, or not any longer.
        """
        return self.fleet.advice(key, self._deps.clock.now(), part)

    def _wake_waiting(self) -> None:
        waiting, self._next = self._next, asyncio.Event()
        waiting.set()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            self._n_begun += 1
            began_s = time.monotonic()
            await loop.run_in_executor(self._executor, self.refresh_once)
            self._n_done = self._n_begun
            self._wake_waiting()
            took_s = time.monotonic() - began_s
            await asyncio.sleep(min(max(took_s, _SHORTEST_REST_S), _LONGEST_REST_S))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._deps.settings.scaler_refresh_s)

    def refresh_once(self) -> None:
        """Read the fleet and set the gauges; a failure is logged and counted, and tried again."""
        try:
            self._read()
            self.fleet.publish(self._deps.clock.now())
        except Exception as error:  # a defect in one refresh must not end the watch
            log.error("refresh_defect", exc_info=error)
            self._note("defect", Unavailable("Harmony's scaler has a defect; see its log"))

    def _read(self) -> None:
        try:
            self.fleet.refresh(self._deps)
            self._problem, self._succeeded_s = None, time.monotonic()
        except Unavailable as error:
            self._note("database", error)

    def _note(self, reason: str, problem: Unavailable) -> None:
        self._problem = problem
        self._count(reason)
        log.warning("refresh_failed", reason=reason, error=problem.message)

    def _count(self, reason: str) -> None:
        cluster = self._deps.settings.cluster
        telemetry.scaler_refresh_errors_total.labels(cluster, reason).inc()

    def _notified(self, _channel: str | None) -> None:
        self._wake.set()

    def _listen_broken(self, reason: str) -> None:
        self._count("listen")
        log.warning("listen_broken", error=reason)
