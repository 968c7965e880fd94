"""kopf: start and stop of the loop, and watch events that wake it.

The handlers are `on.event` ones on purpose. kopf's `on.create`, `on.update` and `on.delete` keep
their state in annotations and finalizers of every object: a write per object and start, and a
deletion that hangs while the operator is away. Events write nothing, and the pass that they wake
compares everything that exists with everything that is registered, so a missed one is no harm.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from typing import Any

import kopf

from services.operator.kube_http import load_configuration
from services.operator.listener import ReconcileLoop
from services.operator.memory import Deps
from services.operator.schemas import GROUP, VERSION


class EndlessBackoff:
    """Waits between kopf's attempts to reach the API server: it never gives up."""

    def __iter__(self) -> Iterator[float]:
        """0.2, 0.5, 1, 2 and then always 5 seconds."""
        return itertools.chain((0.2, 0.5, 1.0, 2.0), itertools.repeat(5.0))


def make_registry(deps: Deps) -> kopf.OperatorRegistry:
    """Handlers that work with `deps`."""
    registry = kopf.OperatorRegistry()
    running: list[ReconcileLoop] = []

    @kopf.on.startup(registry=registry)
    async def start(settings: kopf.OperatorSettings, **_: Any) -> None:
        configure(settings)
        running.append(ReconcileLoop(deps))
        running[0].start()

    @kopf.on.cleanup(registry=registry)
    async def stop(**_: Any) -> None:
        for loop in running:
            await loop.stop()

    @kopf.on.login(registry=registry)
    def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        if deps.settings.kube_url:
            return kopf.ConnectionInfo(server=load_configuration(deps.settings.kube_url).host)
        return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)

    async def changed(**_: Any) -> None:
        for loop in running:
            loop.wake()

    kopf.on.event(GROUP, VERSION, "gpuautoscalers", registry=registry)(changed)
    return registry


def configure(settings: kopf.OperatorSettings) -> None:
    """Quiet, patient, and without marks on the objects."""
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.networking.error_backoffs = EndlessBackoff()
    settings.networking.connect_timeout = 5.0
    settings.watching.server_timeout = 300.0
    settings.watching.reconnect_backoff = 1.0
    settings.process.ultimate_exiting_timeout = 8.0
    logging.getLogger("kopf").setLevel(logging.WARNING)
