"""The loop that runs the operator's passes, woken by notifications of the database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

import structlog
from sqlalchemy.exc import DBAPIError

from services.kernel import telemetry
from services.kernel.db.notifications import listen
from services.operator.leadership.lease import Alone, Fence
from services.operator.leadership.process import LoopHealth
from services.operator.reconcile.decision_pass import decision_pass
from services.operator.reconcile.memory import OperatorDeps
from services.operator.reconcile.reconcile_pass import PassReport, reconcile_pass
from services.operator.reconcile.repository import DECISIONS_CHANNEL, TICK_CHANNEL
from services.operator.wire.http import KubeError

log = structlog.get_logger("operator")

_CATCH_UP_S = 0.3
_REASONS = ("kube", "database", "lease", "defect")


class ReconcileLoop:
    """Runs passes one after the other in a thread, whenever woken and at least every interval.

    Notifications that arrive during a pass are answered by one pass more. Where it is quick, new
    decisions are applied without a pass: between two of them, and between the parts of one. An API
    server or a database that is away costs passes, never the loop. While this
    process does not lead there are no passes, and one that is under way when leadership ends is cut
    short by the fence.
    """

    def __init__(
        self, deps: OperatorDeps, fence: Fence | None = None, is_quick: bool = False
    ) -> None:
        """Reconcile with `deps` while `fence` is open; `is_quick` where decisions need no pass."""
        self._deps = replace(deps, apply_waiting=self._apply_waiting) if is_quick else deps
        self._is_quick = is_quick
        self._has_decisions = False
        self._wants_pass = True
        self._due_s = 0.0
        self._fence = fence or Fence(Alone())
        self._term: int | None = None
        self._wake = asyncio.Event()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="reconcile")
        self._tasks: list[asyncio.Task[None]] = []
        self.last: PassReport | None = None
        self.health = LoopHealth(time.monotonic())

    def wake(self) -> None:
        """Ask for a pass soon."""
        self._wants_pass = True
        self._wake.set()

    def notified(self, channel: str | None) -> None:
        """Ask for what a notification of `channel` calls for; None: any may have been missed."""
        if channel != DECISIONS_CHANNEL or not self._is_quick:
            self.wake()
            return
        self._has_decisions = True
        self._wake.set()

    def start(self) -> list[asyncio.Task[None]]:
        """Begin, in the running event loop; the tasks run until `stop`."""
        url = self._deps.settings.database_url
        listening = listen(url, (DECISIONS_CHANNEL, TICK_CHANNEL), self.notified, _listen_broken)
        self._tasks = [
            asyncio.create_task(listening, name="listen"),
            asyncio.create_task(self.run(), name="reconcile"),
        ]
        return self._tasks

    async def stop(self, timeout_s: float | None = None) -> None:
        """End after the pass that is under way, or after `timeout_s` without waiting for it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        ended = asyncio.create_task(asyncio.to_thread(self._executor.shutdown, wait=True))
        await asyncio.wait({ended}, timeout=timeout_s)

    async def run(self) -> None:
        """Reconcile for ever."""
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            await loop.run_in_executor(self._executor, self.turn)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), max(0.0, self._due_s - time.monotonic()))

    def turn(self) -> None:
        """Run a pass where one is due or asked for, else apply the decisions that have arrived."""
        if self._wants_pass or self.last is None or time.monotonic() >= self._due_s:
            self._wants_pass = False
            self.reconcile_once()
            self._due_s = time.monotonic() + self._pause_s()
        elif self._has_decisions:
            self._guarded(self._apply_decisions)
            if self._deps.memory.n_left:
                self._due_s = 0.0

    def _pause_s(self) -> float:
        """Seconds until the next pass that nobody asks for; few while reports or scalings wait."""
        interval_s = self._deps.settings.reconcile_interval_s
        is_behind = self.last is not None and self.last.n_waiting > 0
        is_behind |= self._deps.memory.n_left > 0
        return min(interval_s, _CATCH_UP_S) if is_behind else interval_s

    def reconcile_once(self) -> None:
        """One pass where this process leads."""
        self._guarded(self._reconcile)
        self.health.has_passed |= self.health.is_leading and not self.health.problem

    def _reconcile(self) -> None:
        # decisions that arrive from here on are seen by the pass, or asked for again
        self._has_decisions = False
        self.last = reconcile_pass(self._deps, self._deps.clock.now())
        if self.last.results:
            log.debug("pass", results=dict(self.last.results), n_calls=self.last.n_calls)

    def _apply_waiting(self) -> None:
        """Apply the decisions that have arrived, between two parts of a pass."""
        if self._has_decisions:
            self._apply_decisions()

    def _apply_decisions(self) -> None:
        self._has_decisions = False
        if self.last is not None:
            decision_pass(self._deps, self.last.fleet, self._deps.clock.now())

    def _guarded(self, work: Callable[[], None]) -> None:
        """Work in the present term; a failure is logged and counted, and a pass reads all again."""
        health = self.health
        health.turned_at_s = time.monotonic()
        term = self._fence.enter()
        health.is_leading = term is not None
        if term != self._term:
            self._change_term(term)
        if term is None:
            return
        reason, message = self._try(work)
        health.turned_at_s = time.monotonic()
        health.problem = f"{reason}: {message}" if reason else ""
        for known in _REASONS:
            telemetry.holding.labels(known).set(float(known == reason))
        if not reason:
            return
        self.last = None
        self._deps.memory.forget()
        telemetry.reconcile_errors_total.labels(reason).inc()
        log.error("pass_failed", reason=reason, error=message, next="holding; will try again")

    def _change_term(self, term: int | None) -> None:
        """Forget what was read before another operator may have led.

        A standby shows no figures: scraped together with the leader's they would grow old.
        """
        self._term, self.last = term, None
        self._deps.memory.forget()
        self._deps.memory.unreported.clear()
        self._deps.memory.failing.clear()
        self.health.has_passed = False
        if term is None:
            telemetry.holding.clear()

    def _try(self, work: Callable[[], None]) -> tuple[str, str]:
        """Reason and message of what failed; empty when nothing did."""
        try:
            work()
            return ("", "") if self._fence.is_open() else ("lease", "leadership ended in a pass")
        except KubeError as error:
            return ("kube" if self._fence.is_open() else "lease"), error.message
        except DBAPIError as error:
            return "database", str(error.orig).strip()
        except Exception as error:  # a defect in one pass must not end the operator
            log.error("pass_defect", exc_info=error)
            return "defect", repr(error)


def _listen_broken(reason: str) -> None:
    telemetry.reconcile_errors_total.labels("listen").inc()
    log.warning("listen_broken", error=reason)
