"""Other databases of cells: who may be asked, and what an answer may cost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from services.kernel.clock import FixedClock
from services.kernel.errors import ConfigurationError
from services.kernel.security.peers import KEPT_S, Peer, PeerReader, peers_of
from services.kernel.settings import Settings

NOW = datetime(2026, 1, 5, tzinfo=UTC)
KEY = "hk_secret_of_a_peer"
Handler = Callable[[httpx.Request], httpx.Response]


def settings(peers: str, keys: str = "/run/keys") -> Settings:
    return Settings(peers=peers, peer_keys=keys)


class Bench:
    """A reader on a clock that is set by hand, and a network that is a function."""

    def __init__(self, folder: Path, names: Sequence[str], handler: Handler) -> None:
        for name in names:
            (folder / name).write_text(f"{KEY}\n")
        self.clock, self.at_s = FixedClock(NOW), 0.0
        peers = [Peer(name, f"https://{name}.example", folder / name) for name in names]
        transport = httpx.MockTransport(handler)
        self.reader = PeerReader(peers, self.clock, lambda: self.at_s, transport)

    def wait(self, seconds: float) -> None:
        self.at_s += seconds
        self.clock.advance(seconds)


def test_peers_have_a_name_an_address_and_a_key_of_their_own() -> None:
    found = peers_of(settings("eu=https://harmony.eu.example/, us=http://127.0.0.1:8080"))
    assert [(each.name, each.url) for each in found] == [
        ("eu", "https://harmony.eu.example"),
        ("us", "http://127.0.0.1:8080"),
    ]
    assert found[0].key_file == Path("/run/keys/eu")
    assert peers_of(settings("", "")) == ()


@pytest.mark.parametrize(
    "given",
    [
        "eu",
        "eu=harmony.eu.example",
        "eu=http://harmony.eu.example",
        "eu=ftp://harmony.eu.example",
        "eu=https://user:secret@harmony.eu.example",
        "eu=https://harmony.eu.example?key=1",
        "eu=https://169.254.169.254",
        "eu=https://[fe80::1]",
        "eu=https://0.0.0.0",
        "Eu=https://harmony.eu.example",
        "../eu=https://harmony.eu.example",
        "eu=https://a.example,eu=https://b.example",
    ],
)
def test_what_cannot_be_a_peer_is_refused_by_name(given: str) -> None:
    with pytest.raises(ConfigurationError, match="HARMONY_PEERS") as refused:
        peers_of(settings(given))
    assert "secret" not in refused.value.message


def test_without_keys_nobody_is_asked() -> None:
    with pytest.raises(ConfigurationError, match="HARMONY_PEER_KEYS"):
        peers_of(settings("eu=https://harmony.eu.example", ""))


def test_a_dead_peer_harms_no_other_and_is_shown_since_when(tmp_path: Path) -> None:
    dead = ["us"]

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["Authorization"] == f"Bearer {KEY}"
        if request.url.host.removesuffix(".example") in dead:
            raise httpx.ConnectError("no route to " + KEY)
        return httpx.Response(200, json={"items": []})

    bench = Bench(tmp_path, ["eu", "us"], answer)
    eu, us = bench.reader.read("/v1/cells")
    assert (eu.document, eu.problem, eu.unreachable_since) == ({"items": []}, "", None)
    assert (us.document, us.unreachable_since) == (None, NOW)
    assert us.problem
    assert KEY not in us.problem
    bench.wait(60)
    assert bench.reader.read("/v1/cells")[1].unreachable_since == NOW, "still the first time"
    dead.clear()
    bench.wait(60)
    back = bench.reader.read("/v1/cells")[1]
    assert (back.document, back.unreachable_since) == ({"items": []}, None)
    dead.append("us")
    bench.wait(60)
    assert bench.reader.read("/v1/cells")[1].unreachable_since == bench.clock.now()


def test_an_answer_is_kept_for_a_few_seconds_and_never_shown_after_that(tmp_path: Path) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200 if len(asked) == 1 else 503, json={"n": len(asked)})

    bench = Bench(tmp_path, ["eu"], answer)
    assert bench.reader.read("/a")[0].document == {"n": 1}
    bench.wait(KEPT_S - 0.1)
    assert bench.reader.read("/a")[0].document == {"n": 1}
    assert len(asked) == 1
    bench.wait(0.2)
    (now,) = bench.reader.read("/a")
    assert (now.document, now.problem) == (None, "answers 503")
    assert bench.reader.read("/b")[0].read_at == bench.clock.now(), "each path by itself"


@pytest.mark.parametrize(
    ("response", "problem"),
    [
        (httpx.Response(302, headers={"Location": "http://169.254.169.254/"}), "answers 302"),
        (httpx.Response(401), "answers 401"),
        (httpx.Response(200, text="<html>"), "cannot be read"),
        (httpx.Response(200, json=[1]), "no object"),
        (httpx.Response(200, content=b"[" * 500_000), "cannot be read"),
        (httpx.Response(200, content=b" " * 1_000_001), "too long"),
        (
            httpx.Response(200, headers={"Content-Encoding": "gzip, gzip"}, content=iter([b""])),
            "Content-Encoding is 'gzip, gzip'",
        ),
    ],
)
def test_an_answer_that_is_none_is_a_problem_in_words(
    tmp_path: Path, response: httpx.Response, problem: str
) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return response

    (found,) = Bench(tmp_path, ["eu"], answer).reader.read("/v1/cells")
    assert found.document is None
    assert problem in found.problem
    assert asked == ["https://eu.example/v1/cells"], "redirects are not followed"


def test_a_peer_without_a_key_is_not_asked(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ["eu"], lambda _: pytest.fail("asked without a key"))
    (tmp_path / "eu").unlink()
    (found,) = bench.reader.read("/v1/cells")
    assert "key cannot be read" in found.problem


def test_all_are_asked_at_once(tmp_path: Path) -> None:
    together = threading.Barrier(3, timeout=20)

    def answer(_: httpx.Request) -> httpx.Response:
        together.wait()
        return httpx.Response(200, json={})

    found = Bench(tmp_path, ["a", "b", "c"], answer).reader.read("/")
    assert [each.document for each in found] == [{}, {}, {}]
