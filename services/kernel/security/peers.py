"""Other databases of cells, read over their REST API.

Each answer is bounded in time and size, and believed for a few seconds only.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson

from services.kernel.clock import Clock
from services.kernel.db.clusters import check_name
from services.kernel.errors import ConfigurationError, InvalidInput
from services.kernel.http.answers import ACCEPTED, AnswerTooLarge, AnswerUnreadable, read_chunks
from services.kernel.security.sources import is_special
from services.kernel.security.urls import is_private, parse_url
from services.kernel.settings import Settings

CELLS_PATH = "/v1/cells?limit=200"
SHARES_PATH = "/v1/cells/shares"
KEPT_S = 5.0
"""So long an answer, or that there was none, is handed out again."""
_TIMEOUT_S = 3.0
_MOST_BYTES = 1_000_000
_MOST_PEERS = 64


@dataclass(frozen=True, slots=True)
class Peer:
    """Another database of cells.

    Attributes:
        name: Its name, which is that of its first cluster.
        url: Of its admin API.
        key_file: File with an API key of it, of a reader of all clusters.
    """

    name: str
    url: str
    key_file: Path


@dataclass(frozen=True, slots=True)
class PeerAnswer:
    """What a peer answered.

    Attributes:
        peer: Its name.
        document: Its answer; None: there is none, for `problem`.
        problem: Why not; it names neither key nor content.
        read_at: When it was asked.
        unreachable_since: When it was first found without an answer since its last one.
    """

    peer: str
    document: dict[str, Any] | None
    problem: str
    read_at: datetime
    unreachable_since: datetime | None = None


def peers_of(settings: Settings) -> tuple[Peer, ...]:
    """The peers that the settings name.

    Raises:
        ConfigurationError: A name or a URL cannot be used, or there is no folder of keys.
    """
    found: dict[str, Peer] = {}
    for entry in filter(None, (each.strip() for each in settings.peers.split(","))):
        name, separator, url = entry.partition("=")
        shown = f"HARMONY_PEERS: {name.strip()[:63]!r}"
        if not separator or not _is_safe(url.strip()):
            raise ConfigurationError(
                f"{shown} must be NAME=URL with the https:// URL of its admin API (http:// on this "
                "machine only), without a query or credentials, e.g. eu=https://harmony.eu.example"
            )
        try:
            name = check_name(name.strip())
        except InvalidInput as error:
            raise ConfigurationError(f"{shown}: {error.message}") from error
        if name in found:
            raise ConfigurationError(f"{shown} stands there twice")
        if not settings.peer_keys:
            raise ConfigurationError(
                "HARMONY_PEER_KEYS is empty; name the folder that holds a file for each peer of "
                "HARMONY_PEERS, with an API key of it"
            )
        found[name] = Peer(name, url.strip().rstrip("/"), Path(settings.peer_keys) / name)
    if len(found) > _MOST_PEERS:
        raise ConfigurationError(f"HARMONY_PEERS names {len(found)}; at most {_MOST_PEERS} fit")
    return tuple(found.values())


def _is_safe(url: str) -> bool:
    """Nobody on the way reads the key, and no service of the machine's own network is asked."""
    parts = parse_url(url)
    if parts is None or not is_private(url) or parts.query:
        return False
    try:
        address = ipaddress.ip_address(urlsplit(url).hostname or "")
    except ValueError:
        return True  # a name: its certificate says whose it is
    return address.is_loopback or not is_special(address)


@dataclass(slots=True)
class PeerReader:
    """Asks all peers at once; one that is dead or slow costs the others nothing.

    Attributes:
        peers: Whom.
        clock: When answers came, as people read it.
        monotonic: Seconds.
        transport: Of HTTP; None: the network.
    """

    peers: Sequence[Peer]
    clock: Clock
    monotonic: Callable[[], float] = time.monotonic
    transport: httpx.BaseTransport | None = None
    _kept: dict[str, tuple[float, list[PeerAnswer]]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self, path: str) -> list[PeerAnswer]:
        """The answers of all peers to a GET of `path`, kept for a few seconds."""
        if not self.peers:
            return []
        with self._lock:
            until_s, before = self._kept.get(path, (-1.0, []))
            if before and self.monotonic() < until_s:
                return before
            since = {each.peer: each.unreachable_since for each in before}
            found = [
                each
                if each.document is not None
                else replace(each, unreachable_since=since.get(each.peer) or each.read_at)
                for each in self._ask_all(path)
            ]
            self._kept[path] = (self.monotonic() + KEPT_S, found)
            return found

    def _ask_all(self, path: str) -> list[PeerAnswer]:
        executor = ThreadPoolExecutor(len(self.peers), thread_name_prefix="peers")
        asked = {peer.name: executor.submit(self._ask, peer, path) for peer in self.peers}
        wait(asked.values(), timeout=2 * _TIMEOUT_S)
        executor.shutdown(wait=False, cancel_futures=True)
        now = self.clock.now()
        late = f"no answer within {2 * _TIMEOUT_S:g} s"
        return [
            each.result()
            if each.done() and not each.cancelled()
            else PeerAnswer(n, None, late, now)
            for n, each in asked.items()
        ]

    def _ask(self, peer: Peer, path: str) -> PeerAnswer:
        now = self.clock.now()
        try:
            return PeerAnswer(peer.name, self._fetch(peer, path), "", now)
        except OSError as error:
            problem = f"its key cannot be read: {error.strerror}"
        except AnswerTooLarge as error:
            problem = f"its answer is too long: {error}"
        except AnswerUnreadable as error:
            problem = f"its answer {error}"
        except httpx.HTTPError as error:
            problem = f"cannot be reached: {type(error).__name__}"
        except ValueError as error:
            problem = str(error) if type(error) is ValueError else "its answer cannot be read"
        return PeerAnswer(peer.name, None, problem, now)

    def _fetch(self, peer: Peer, path: str) -> dict[str, Any]:
        key = peer.key_file.read_text(encoding="utf-8").strip()
        ends_s, body = self.monotonic() + _TIMEOUT_S, bytearray()
        with (
            httpx.Client(
                timeout=_TIMEOUT_S,
                follow_redirects=False,
                trust_env=False,
                transport=self.transport,
            ) as client,
            client.stream(
                "GET", peer.url + path, headers={"Authorization": f"Bearer {key}"} | ACCEPTED
            ) as got,
        ):
            if got.status_code != httpx.codes.OK:
                raise ValueError(f"answers {got.status_code}")
            for chunk in read_chunks(got, _MOST_BYTES):
                body += chunk
                if self.monotonic() > ends_s:
                    raise ValueError("its answer takes too long")
        document = orjson.loads(body)  # refuses what is nested too deeply
        if not isinstance(document, dict):
            raise ValueError("its answer is no object")
        return document
