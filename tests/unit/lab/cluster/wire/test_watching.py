"""Watches over HTTP: each change once, in order, and how a watch ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from services.lab.cluster.admission.access import Question
from services.lab.cluster.storage.failures import ApiFailure
from services.lab.cluster.storage.resources import BUILT_IN, EVENTS, Obj
from services.lab.cluster.storage.selection import make_selector
from services.lab.cluster.storage.store import FIRST_VERSION, Store
from services.lab.cluster.wire.faults import Fault
from services.lab.cluster.wire.watching import Watches, WatchOptions

CONFIG_MAPS = next(rtype for rtype in BUILT_IN if rtype.plural == "configmaps")
QUESTION = Question("watch", "", "configmaps")
START = str(FIRST_VERSION)
AGES_S = 60.0
SOON_S = 0.2


class Bench:
    """A store of config maps, and watches of it."""

    def __init__(self, log_limit: int = 100, bookmark_s: float = AGES_S) -> None:
        self.store = Store(log_limit)
        self.watches = Watches(self.store, bookmark_s)

    def put(self, name: str, app: str = "a") -> None:
        meta = {"name": name, "namespace": "team", "labels": {"app": app}}
        self.store.put(CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta})

    def remove(self, name: str) -> None:
        obj = self.store.get(CONFIG_MAPS, "team", name)
        assert obj is not None
        self.store.remove(CONFIG_MAPS, obj)

    @asynccontextmanager
    async def watch(
        self, labels: str = "", broken: str = "", **options: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A watch under way."""
        selector = make_selector(CONFIG_MAPS, "", labels, "", "")
        options = {"timeout_s": AGES_S, **options}
        asked = WatchOptions(CONFIG_MAPS, selector, QUESTION, **options)

        async def serve(request: web.Request) -> web.StreamResponse:
            try:
                return await self.watches.serve(request, asked, broken)
            except ApiFailure as failure:
                return web.json_response(failure.status, status=failure.code)

        app = web.Application()
        app.router.add_get("/", serve)
        async with TestClient(TestServer(app)) as client, client.get("/") as response:
            yield response

    async def all(self, **options: Any) -> list[Obj]:
        """Every line of a watch that ends by itself."""
        async with self.watch(**options) as response:
            return await rest(response)


async def line(response: aiohttp.ClientResponse) -> Obj:
    found: Obj = orjson.loads(await response.content.readline())
    return found


async def rest(response: aiohttp.ClientResponse) -> list[Obj]:
    return [orjson.loads(each) for each in (await response.read()).splitlines()]


def told(event: Obj) -> tuple[str, str]:
    return event["type"], event["object"]["metadata"]["name"]


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(coroutine)


def test_a_watch_from_a_version_tells_what_came_after_it_and_nothing_before() -> None:
    async def scene() -> None:
        bench = Bench()
        bench.put("old")
        version = bench.store.version
        bench.put("one")
        async with bench.watch(version=str(version)) as response:
            assert told(await line(response)) == ("ADDED", "one")
            bench.put("two")
            bench.put("one", app="b")
            bench.remove("two")
            found = [told(await line(response)) for _ in range(3)]
            assert found == [("ADDED", "two"), ("MODIFIED", "one"), ("DELETED", "two")]

    run(scene())


@pytest.mark.parametrize("version", ["", "0"])
def test_a_watch_from_nowhere_begins_with_what_is_there(version: str) -> None:
    async def scene() -> None:
        bench = Bench()
        for name, app in (("x", "a"), ("y", "b"), ("z", "a")):
            bench.put(name, app)
        async with bench.watch("app=a", version=version) as response:
            assert [told(await line(response)) for _ in "xz"] == [("ADDED", "x"), ("ADDED", "z")]
            bench.put("w")
            assert told(await line(response)) == ("ADDED", "w")

    run(scene())


def test_the_end_of_the_first_objects_is_marked_when_asked_for() -> None:
    async def scene() -> None:
        bench = Bench()
        bench.put("x")
        async with bench.watch(version=START, wants_initial=True) as response:
            assert told(await line(response)) == ("ADDED", "x")
            mark = await line(response)
            assert mark["type"] == "BOOKMARK"
            assert (mark["object"]["kind"], mark["object"]["apiVersion"]) == ("ConfigMap", "v1")
            meta = mark["object"]["metadata"]
            assert meta["annotations"] == {"k8s.io/initial-events-end": "true"}
            assert meta["resourceVersion"] == str(bench.store.version)

    run(scene())


def test_objects_come_into_view_and_go_out_of_it() -> None:
    async def scene() -> None:
        bench = Bench()
        async with bench.watch("app=a", version=START) as response:
            bench.put("x", "b")
            bench.put("x", "a")
            bench.put("x", "a")
            bench.put("x", "b")
            bench.remove("x")
            bench.put("y", "a")
            bench.remove("y")
            found = [told(await line(response)) for _ in range(5)]
            verbs = ["ADDED", "MODIFIED", "DELETED"]
            assert found[:3] == [(verb, "x") for verb in verbs]
            assert found[3:] == [("ADDED", "y"), ("DELETED", "y")]

    run(scene())


def test_clients_see_objects_as_they_ask_for_them() -> None:
    async def scene() -> None:
        bench = Bench()
        bench.put("x")
        shown: Obj = {"show": lambda raw: b'{"size":%d}' % len(raw), "version": ""}
        async with bench.watch(**shown) as response:
            raw = bench.store.raw(CONFIG_MAPS, "team", "x")
            assert raw is not None
            expected = {"type": "ADDED", "object": {"size": len(raw.raw)}}
            assert await line(response) == expected
            bench.put("y")
            assert await line(response) == expected

    run(scene())


def test_a_watch_ends_when_its_time_is_up() -> None:
    async def scene() -> None:
        bench = Bench()
        bench.put("x")
        assert await bench.all(version=str(bench.store.version), timeout_s=SOON_S) == []
        assert len(bench.watches) == 0
        assert not bench.store.collection(CONFIG_MAPS).waiting

    run(scene())


def test_a_watch_with_bookmarks_ends_with_the_newest_version_of_all() -> None:
    async def scene() -> None:
        bench = Bench()
        async with bench.watch(version=START, timeout_s=SOON_S, has_bookmarks=True) as response:
            meta = {"name": "e", "namespace": "team"}
            event: Obj = {"apiVersion": "v1", "kind": "Event", "metadata": meta}
            bench.store.put(EVENTS, event)
            bench.put("x")
            change, mark = await rest(response)
            assert told(change) == ("ADDED", "x")
            assert mark["type"] == "BOOKMARK"
            assert mark["object"]["metadata"]["resourceVersion"] == str(FIRST_VERSION + 2)
            assert "annotations" not in mark["object"]["metadata"]

    run(scene())


def test_bookmarks_come_while_nothing_happens_to_those_who_ask() -> None:
    async def scene() -> None:
        bench = Bench(bookmark_s=0.02)
        options: Obj = {"version": START, "timeout_s": 5 * SOON_S, "has_bookmarks": True}
        async with bench.watch(**options) as response:
            assert [(await line(response))["type"] for _ in range(3)] == ["BOOKMARK"] * 3
            bench.put("x")
            found = [each["type"] for each in await rest(response)]
            assert found.count("ADDED") == 1
            after = found[found.index("ADDED") + 1 :]
            assert after == ["BOOKMARK"] * len(after)
            assert len(after) >= 3
        assert await bench.all(version=str(bench.store.version), timeout_s=SOON_S) == []

    run(scene())


def test_a_watch_from_a_version_that_is_forgotten_ends_with_an_error() -> None:
    async def scene() -> None:
        bench = Bench(log_limit=2)
        for n in range(20):
            bench.put(f"x{n}")
        (error,) = await bench.all(version=str(FIRST_VERSION + 1))
        assert error["type"] == "ERROR"
        assert (error["object"]["code"], error["object"]["reason"]) == (410, "Expired")
        assert f"too old resource version: {FIRST_VERSION + 1}" in error["object"]["message"]

    run(scene())


def test_a_watch_that_cannot_keep_up_ends_with_an_error() -> None:
    async def scene() -> None:
        bench = Bench(log_limit=2)
        async with bench.watch(wants_initial=True) as response:
            assert (await line(response))["type"] == "BOOKMARK"
            for n in range(20):
                bench.put(f"x{n}")
            (error,) = await rest(response)
            assert (error["type"], error["object"]["code"]) == ("ERROR", 410)

    run(scene())


def test_a_version_that_is_no_number_is_a_bad_request() -> None:
    async def scene() -> None:
        async with Bench().watch(version="newest") as response:
            assert response.status == 400
            assert "newest" in (await response.json())["message"]

    run(scene())


def test_closing_ends_watches_as_if_their_time_were_up() -> None:
    async def scene() -> None:
        bench = Bench()
        async with bench.watch(wants_initial=True) as response:
            await line(response)
            assert len(bench.watches) == 1
            bench.watches.close()
            assert await rest(response) == []
        assert len(bench.watches) == 0

    run(scene())


def test_the_laboratory_breaks_only_the_watches_that_it_means() -> None:
    async def scene() -> None:
        bench = Bench()
        async with bench.watch(wants_initial=True) as response:
            await line(response)
            assert bench.watches.break_open(Fault("gone", resource="pods")) == 0
            bench.put("x")
            assert told(await line(response)) == ("ADDED", "x")
            assert bench.watches.break_open(Fault("gone", resource="configmaps")) == 1
            (error,) = await rest(response)
            assert (error["type"], error["object"]["code"]) == ("ERROR", 410)

    run(scene())


def test_a_dropped_watch_loses_its_connection() -> None:
    async def scene() -> None:
        bench = Bench()
        async with bench.watch(wants_initial=True) as response:
            await line(response)
            bench.watches.break_open(Fault("drop_watch"))
            with pytest.raises(aiohttp.ClientError):
                await response.read()
        assert len(bench.watches) == 0

    run(scene())


def test_a_watch_that_is_born_broken_tells_what_is_there_and_no_change() -> None:
    async def scene() -> None:
        bench = Bench()
        bench.put("x")
        found = await bench.all(version="", broken="gone")
        assert [each["type"] for each in found] == ["ADDED", "ERROR"]

    run(scene())
