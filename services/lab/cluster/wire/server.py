"""The HTTP server: one door for every path, on aiohttp."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from aiohttp import web

from services.lab.cluster.cluster import SimulatedCluster
from services.lab.cluster.storage import failures
from services.lab.cluster.storage.failures import ApiFailure
from services.lab.cluster.wire import discovery, openapi
from services.lab.cluster.wire.faults import REQUEST_KINDS, WATCH_KINDS, Faults, failure_of
from services.lab.cluster.wire.handling import Body, Handling, Reply, selector_of
from services.lab.cluster.wire.laboratory import Laboratory
from services.lab.cluster.wire.routes import ApiCall, Place, parse_call, parse_path
from services.lab.cluster.wire.tables import table_maker, wants_table
from services.lab.cluster.wire.watching import DEFAULT_TIMEOUT_S, Watches, WatchOptions

MAX_BODY_BYTES = 3 * 2**20
TICK_S = 0.05


class ApiServer:
    """Serves a cluster over HTTP."""

    def __init__(self, cluster: SimulatedCluster) -> None:
        self.cluster = cluster
        self.faults = Faults()
        self.watches = Watches(cluster.store)
        self.laboratory = Laboratory(cluster, self.faults, self.watches)
        self._handling = Handling(cluster)
        self._ticker: asyncio.Task[None] | None = None

    def make_app(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_route("*", "/{path:.*}", self._handle)
        app.on_startup.append(self._start)
        app.on_shutdown.append(self._stop)
        return app

    async def _start(self, app: web.Application) -> None:
        if self.cluster.is_real_time:
            self._ticker = asyncio.create_task(self._tick())

    async def _stop(self, app: web.Application) -> None:
        self.watches.close()
        if self._ticker is not None:
            self._ticker.cancel()

    async def _tick(self) -> None:
        while True:
            self.cluster.catch_up()
            await asyncio.sleep(TICK_S)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._route(request)
        except ApiFailure as failure:
            headers = dict(failure.headers)
            return _json(Reply(orjson.dumps(failure.status), failure.code), headers)

    async def _route(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        if path.startswith("/lab/"):
            raw = await request.read()
            body = Body(raw, "application/json").json() if raw else None
            found = self.laboratory.answer(request.method, path.removeprefix("/lab/"), body)
            return _json(Reply(orjson.dumps(found)))
        self.cluster.catch_up()
        place = parse_path(path)
        if place is None or not place.parts:
            return self._discover(request, place)
        call = parse_call(self.cluster.registry, request.method, place, request.query)
        return await self._serve(request, call)

    async def _serve(self, request: web.Request, call: ApiCall) -> web.StreamResponse:
        question = call.question
        access = self.cluster.access
        user = access.identify(request.headers.get("Authorization"))
        counted = (user.name, question.verb, question.group, question.target)
        self.laboratory.calls[counted] += 1
        access.check(user, question)
        fault = self.faults.hit(question, REQUEST_KINDS)
        if fault is not None:
            failure = failure_of(fault, question)
            if failure is not None:
                raise failure
            await asyncio.sleep(fault.delay_s)
        if call.verb == "watch":
            broken = self.faults.hit(question, WATCH_KINDS)
            options = self._watch_options(call, request.headers.get("Accept", ""))
            return await self.watches.serve(request, options, broken.kind if broken else "")
        body = Body(await request.read(), request.content_type)
        # From here on nothing waits: a call is one transaction.
        self.cluster.catch_up()
        reply = self._handling.answer(call, body, user, request.headers.get("User-Agent", ""))
        is_read = call.verb in ("get", "list") and not call.subresource
        if is_read and wants_table(request.headers.get("Accept", "")):
            reply = self._handling.as_table(call, reply)
        return _json(reply)

    def _watch_options(self, call: ApiCall, accept: str) -> WatchOptions:
        query, cluster = call.query, self.cluster
        try:
            timeout_s = int(query.get("timeoutSeconds") or DEFAULT_TIMEOUT_S)
        except ValueError as error:
            raise failures.bad_request(f"timeoutSeconds: {error}") from error
        show = table_maker(cluster.store, call.rtype, cluster.now) if wants_table(accept) else None
        return WatchOptions(
            rtype=call.rtype,
            selector=selector_of(call),
            question=call.question,
            version=query.get("resourceVersion", ""),
            timeout_s=timeout_s,
            has_bookmarks=call.has("allowWatchBookmarks"),
            wants_initial=call.has("sendInitialEvents"),
            show=show,
        )

    def _discover(self, request: web.Request, place: Place | None) -> web.Response:
        if request.method != "GET":
            raise failures.method_not_allowed()
        path = request.path.rstrip("/")
        registry = self.cluster.registry
        found: Any = None
        if place is not None:
            found = discovery.resources(registry, place.group, place.version)
        elif path in ("/healthz", "/livez", "/readyz"):
            return web.Response(text="ok")
        elif path == "/version":
            found = discovery.VERSION
        elif path == "/api":
            found = discovery.core_versions(request.host)
        elif path == "/apis":
            found = discovery.groups(registry)
        elif path.startswith("/apis/"):
            found = discovery.group(registry, path.removeprefix("/apis/"))
        elif path == openapi.ROOT:
            found = openapi.versions(registry)
        elif path.startswith(f"{openapi.ROOT}/"):
            found = openapi.document(registry, self.cluster.store, path[len(openapi.ROOT) :])
        if found is None:
            raise failures.no_such_path()
        return _json(Reply(orjson.dumps(found)))


def _json(reply: Reply, headers: dict[str, str] | None = None) -> web.Response:
    response = web.Response(
        body=reply.raw, status=reply.code, content_type="application/json", headers=headers
    )
    for warning in reply.warnings:
        response.headers.add("Warning", f'299 - "{warning.replace(chr(34), chr(92) + chr(34))}"')
    return response
