"""kopf: watch events that wake the loop, and the life of both.

The handlers are `on.event` ones on purpose. kopf's `on.create`, `on.update` and `on.delete` keep
their state in annotations and finalizers of every object: a write per object and start, and a
deletion that hangs while the operator is away. Events write nothing, and the pass that they wake
compares everything that exists with everything that is registered, so a missed one is no harm.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import blake2b
from typing import Any
from wsgiref.simple_server import WSGIServer

import kopf
import orjson
import structlog

from services.kernel import telemetry
from services.kernel.listening import listen, report_address
from services.operator.kube.mirrored import EVERY_PASS, MirroredKube
from services.operator.leadership.health import Checks, serve
from services.operator.leadership.process import Election
from services.operator.listener import ReconcileLoop
from services.operator.reconcile.memory import OperatorDeps
from services.operator.resource.fields import GROUP, VERSION
from services.operator.wire.http import load_configuration

log = structlog.get_logger("operator")

_PAGE = 250
_IDLE_S = 0.1
_RESTART_S = 5.0
_END_S = 4.0
_RELEASE_S = 1.0


class EndlessBackoff:
    """Waits between kopf's attempts to reach the API server: it never gives up."""

    def __iter__(self) -> Iterator[float]:
        """0.2, 0.5, 1, 2 and then always 5 seconds."""
        return itertools.chain((0.2, 0.5, 1.0, 2.0), itertools.repeat(5.0))


def make_registry(deps: OperatorDeps, wake: Callable[[], None]) -> kopf.OperatorRegistry:
    """Handlers: quiet settings, the login, and `wake` at each change of a GPUAutoscaler."""
    registry = kopf.OperatorRegistry()

    @kopf.on.startup(registry=registry)
    async def start(settings: kopf.OperatorSettings, **_: Any) -> None:
        configure(settings)

    @kopf.on.login(registry=registry)
    def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        if deps.settings.kube_url:
            return kopf.ConnectionInfo(server=load_configuration(deps.settings.kube_url).host)
        return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)

    seen: dict[str, bytes] = {}

    @kopf.on.event(GROUP, VERSION, "gpuautoscalers", registry=registry)
    async def changed(type: str | None, uid: str, meta: kopf.Meta, **_: Any) -> None:
        # the operator writes statuses itself: if they woke it, each pass would call for the next
        digest = _digest(meta)
        if type == "DELETED":
            seen.pop(uid, None)
        elif seen.get(uid) == digest:
            return
        else:
            seen[uid] = digest
        wake()

    return registry


def _digest(meta: kopf.Meta) -> bytes:
    """Digest of the fields of an object whose change calls for a pass."""
    fields = (meta.get("generation"), dict(meta.annotations), dict(meta.labels))
    return blake2b(orjson.dumps(fields, option=orjson.OPT_SORT_KEYS), digest_size=8).digest()


def configure(settings: kopf.OperatorSettings) -> None:
    """Quiet, patient, and without marks on the objects."""
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.networking.error_backoffs = EndlessBackoff()
    settings.networking.connect_timeout = 5.0
    settings.watching.server_timeout = 300  # a whole number: a real API server takes no other
    settings.watching.reconnect_backoff = 1.0
    # objects are let go soon: a page of them is in memory at the start, not the fleet
    settings.watching.chunk_size = _PAGE
    settings.queueing.idle_timeout = _IDLE_S
    # kopf would kill the process some time after its own end, which is not the operator's end
    settings.process.ultimate_exiting_timeout = None


class Watcher:
    """kopf in a thread with an event loop of its own.

    When kopf ends it cancels whatever else runs in its event loop, and it ends for good when its
    resource is taken away or forbidden (a CRD that is replaced, a role that is edited). So it
    shares no loop with the passes, and is started again, while those go on by timer and
    notification.
    """

    def __init__(self, deps: OperatorDeps, wake: Callable[[], None]) -> None:
        """Call `wake` (from the thread) at each change of a GPUAutoscaler."""
        self._deps = deps
        self._wake = wake
        self._is_ending = threading.Event()
        self._stop: Callable[[], object] | None = None
        self._thread = threading.Thread(target=self._run, name="kopf", daemon=True)

    def start(self) -> None:
        """Begin."""
        logging.getLogger("kopf").setLevel(logging.CRITICAL)
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End, waiting at most `timeout_s`; what is left ends with the process."""
        self._is_ending.set()
        if self._stop is not None:
            with suppress(RuntimeError):  # its event loop has just ended by itself
                self._stop()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._is_ending.is_set():
            try:
                asyncio.run(self._watch())
            except Exception as error:  # noqa: BLE001 - whatever ends kopf must not end the operator
                telemetry.reconcile_errors_total.labels("watch").inc()
                next_ = f"again in {_RESTART_S:.0f} s"
                log.warning("watch_ended", error=str(error)[:300], next=next_)
            self._is_ending.wait(_RESTART_S)

    async def _watch(self) -> None:
        flag, loop = asyncio.Event(), asyncio.get_running_loop()
        self._stop = lambda: loop.call_soon_threadsafe(flag.set)
        if self._is_ending.is_set():
            return
        registry = make_registry(self._deps, self._wake)
        await kopf.operator(registry=registry, clusterwide=True, standalone=True, stop_flag=flag)


def serve_health(deps: OperatorDeps, election: Election, loop: ReconcileLoop) -> WSGIServer | None:
    """Probes and metrics, where they have a port.

    Raises:
        ConfigurationError: It cannot be had.
    """
    settings = deps.settings
    if settings.operator_metrics_port is None:
        return None
    checks = Checks(
        alive=lambda: loop.health.alive(time.monotonic(), settings.reconcile_interval_s),
        ready=lambda: loop.health.ready(time.monotonic(), election.keeper),
    )
    port = settings.operator_metrics_port
    server = serve(listen(settings.host, port, "HARMONY_OPERATOR_METRICS_PORT"), checks)
    report_address("operator metrics", str(server.server_address[0]), server.server_port)
    return server


async def run(deps: OperatorDeps, election: Election) -> None:
    """Reconcile until SIGTERM or SIGINT, in the terms for which `election` leads.

    At the end no further write is begun, then the Lease is released, then kopf winds up.

    Raises:
        Exception: What ended the loop, if anything but a signal did.
    """
    loop, ending = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    keeper, mirrored = election.keeper, deps.kube if isinstance(deps.kube, MirroredKube) else None
    reconciler = ReconcileLoop(deps, election.fence, is_quick=True)

    def wake() -> None:
        loop.call_soon_threadsafe(reconciler.wake)

    watcher = Watcher(deps, wake)
    health = serve_health(deps, election, reconciler)
    tasks = reconciler.start()
    watcher.start()
    if mirrored is not None:
        mirrored.warm(EVERY_PASS)
    if keeper is not None:
        keeper.on_change = wake
        keeper.start()
    waiting = asyncio.create_task(ending.wait(), name="ending")
    try:
        done, _ = await asyncio.wait({waiting, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        election.fence.close()
        await reconciler.stop(_RELEASE_S)
        if keeper is not None:
            await asyncio.to_thread(keeper.stop, _RELEASE_S)
        await asyncio.to_thread(watcher.stop, _END_S)
        if mirrored is not None:
            mirrored.stop()
        if health is not None:
            health.shutdown()
    for task in done - {waiting}:
        task.result()
