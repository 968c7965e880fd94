"""A copy of all objects of one kind, kept by LIST and WATCH: a pass reads memory, not the network.

The copy follows the API server within moments. A decision does not rely on it to be exact: a scale
is patched under the resourceVersion that was read, so a copy that is behind costs one conflict. A
copy that cannot be kept fails as the LIST would have failed.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import orjson
import structlog

from services.kernel import telemetry
from services.operator.cluster.listed import ListedKind, Object
from services.operator.kube.last_states import LastStates
from services.operator.wire.http import Call, KubeError, KubeHttp

log = structlog.get_logger("operator")

_PAGE = 250
"""Objects of one answer: decoded, they take many times what is kept of them."""
_WATCH_S = 300
_SILENCE_S = 90.0
"""Without a change there are bookmarks: about one a minute."""
_FIRST_S = 60.0
_GRACE_S = 10.0
_ABSENT_FOR_S = 120.0
_BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)
_STEADY_S = 5.0
"""A watch that lasts so long was not in vain, even if it told nothing."""
_FORBIDDEN_FOR_S = 10.0
"""Where it may list and not watch, it lists so often; where it may not list, it asks so often."""
_EXPIRED, _TOO_MANY = 410, 429
_Kept = tuple[str, Any]
"""Version of an object, and the value that is kept of it."""


class Mirror:
    """The copy and the thread that keeps it."""

    def __init__(
        self,
        http: KubeHttp,
        kind: ListedKind,
        monotonic: Callable[[], float] = time.monotonic,
        unused_s: float = math.inf,
    ) -> None:
        """Copy all objects of `kind` over `http`; begins with `start`.

        It ends once nobody has asked for the objects for `unused_s`.
        """
        self._http = http
        self._kind = kind
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._objects: dict[tuple[str, str], _Kept] = {}
        self._last = LastStates(kind)
        self._version = ""
        self._problem: KubeError | None = None
        self._problem_since_s = 0.0
        self._is_synced = False
        self._n_in_vain = 0
        self._tried = threading.Event()
        self._is_ending = threading.Event()
        self._unused_s = unused_s
        self._asked_s = monotonic()
        name = f"mirror-{kind.resource}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End with the next line or the end of the watch; the thread is a daemon."""
        self._is_ending.set()

    @property
    def has_ended(self) -> bool:
        """True where it is, or will soon be, kept no longer."""
        return self._is_ending.is_set()

    def objects(self) -> list[Any]:
        """The kept values of all objects; none where an optional kind is absent.

        Raises:
            KubeError: They cannot be read, or have not been for too long to be relied upon.
        """
        self._asked_s = self._monotonic()
        if not self._tried.wait(_FIRST_S):
            raise KubeError(0, "NotReadYet", f"{self._kind.path}: no answer in {_FIRST_S:.0f} s")
        with self._lock:
            problem = self._problem
            is_final = problem is not None and problem.status in (401, 403, 404)
            is_old = self._monotonic() - self._problem_since_s > _GRACE_S
            if problem is not None and (is_final or is_old or not self._is_synced):
                raise KubeError(problem.status, problem.reason, problem.message)
            return [value for _, value in self._objects.values()]

    def last_states(self) -> list[Any]:
        """What outlives the objects that were seen, the newest of them."""
        with self._lock:
            return self._last.values()

    def store(self, found: Mapping[str, Any]) -> None:
        """Store an object from the answer to a write, so that nobody need wait for the watch.

        One that is not there may have been deleted since: the watch would not tell it again.
        """
        with self._lock:
            if _key(found) in self._objects:
                self._put(dict(found))

    def _put(self, found: Object) -> None:
        key, version = _key(found), _version(found)
        known = self._objects.get(key)
        if known is not None and _is_older(version, known[0]):
            return
        value = self._kind.read(found)
        if value is None:
            self._objects.pop(key, None)
        else:
            self._objects[key] = (version, value)

    def _run(self) -> None:
        while not self._is_ending.is_set():
            if self._monotonic() - self._asked_s > self._unused_s:
                self._is_ending.set()
                return
            self._n_in_vain += 1
            try:
                if not self._version:
                    self._list()
                is_allowed = self._follow_changes()
                pause_s = self._backoff_s() if is_allowed else _FORBIDDEN_FOR_S
            except KubeError as error:
                pause_s = self._fail(error)
            except Exception as error:  # a defect here must not end the copy in silence
                log.error("mirror_defect", resource=self._kind.resource, exc_info=error)
                self._version = ""
                pause_s = self._fail(KubeError(0, "Defect", repr(error)))
            if pause_s:
                self._is_ending.wait(pause_s)

    def _backoff_s(self) -> float:
        """Seconds to wait, the longer the more rounds were in vain; none after one that was not."""
        return _BACKOFF_S[min(self._n_in_vain, len(_BACKOFF_S)) - 1] if self._n_in_vain else 0.0

    def _fail(self, error: KubeError) -> float:
        """Note what went wrong; seconds to wait."""
        if error.status == _EXPIRED:
            self._version = ""
            return self._backoff_s() if self._n_in_vain > 1 else 0.0
        if error.is_missing and self._kind.is_optional:
            with self._lock:
                self._objects, self._version, self._problem = {}, "", None
                self._is_synced = True
            self._tried.set()
            return _ABSENT_FOR_S
        if error.status and error.status != _TOO_MANY:
            self._version = ""  # after another refusal a fresh LIST gives the present objects
        with self._lock:
            if self._problem is None:
                self._problem_since_s = self._monotonic()
            self._problem = error
        self._tried.set()
        self._report(error)
        if error.status == 403:
            return _FORBIDDEN_FOR_S
        return self._backoff_s() or _BACKOFF_S[0]

    def _report(self, error: KubeError) -> None:
        telemetry.reconcile_errors_total.labels("mirror").inc()
        log.warning("mirror_broken", resource=self._kind.resource, error=error.message[:300])

    def _follow_changes(self) -> bool:
        """Follow changes until the server ends the watch; false where it forbids it.

        Then the copy is as old as the last LIST, which is better than none.
        """
        try:
            self._watch()
        except KubeError as error:
            if error.status != 403:
                raise
            self._report(error)
            self._version = ""
            return False
        return True

    def _list(self) -> None:
        """Read everything, a page at a time: the pages together would take too much memory."""
        found: dict[tuple[str, str], _Kept] = {}
        after, version = "", ""
        while True:
            path = f"{self._kind.path}?limit={_PAGE}"
            if after:
                path += f"&continue={quote(after, safe='')}"
            answer = self._http.send(Call("list", self._kind.resource, path))
            items = answer.get("items") or []
            items.reverse()
            while items:  # each object goes as soon as it has been read
                item = items.pop()
                with self._lock:
                    self._last.see(item)
                value = self._kind.read(item)
                if value is not None:
                    found[_key(item)] = (_version(item), value)
            version = str(answer["metadata"]["resourceVersion"])
            after = str(answer["metadata"].get("continue") or "")
            if not after:
                break
        with self._lock:
            self._objects, self._version = found, version
            self._problem, self._is_synced = None, True
        self._tried.set()

    def _watch(self) -> None:
        """Follow changes until the server ends the watch.

        It was not in vain if it told something, or lasted for a while.
        """
        query = (
            f"watch=true&allowWatchBookmarks=true&timeoutSeconds={_WATCH_S}"
            f"&resourceVersion={quote(self._version)}"
        )
        call = Call("watch", self._kind.resource, f"{self._kind.path}?{query}")
        began_s = self._monotonic()
        try:
            for line in self._http.stream(call, _SILENCE_S):
                if self._is_ending.is_set():
                    return
                if line:
                    self._follow(orjson.loads(line))
                    self._n_in_vain = 0
                else:
                    with self._lock:
                        self._problem = None
        finally:
            if self._monotonic() - began_s >= _STEADY_S:
                self._n_in_vain = 0

    def _follow(self, event: Mapping[str, Any]) -> None:
        kind, found = event["type"], event["object"]
        if kind == "ERROR":
            message = str(found.get("message") or found)
            raise KubeError(int(found.get("code") or 500), str(found.get("reason")), message)
        with self._lock:
            self._version = str(found["metadata"]["resourceVersion"])
            self._last.see(found)
            if kind == "DELETED":
                self._objects.pop(_key(found), None)
            elif kind in ("ADDED", "MODIFIED"):
                self._put(found)


def _key(found: Mapping[str, Any]) -> tuple[str, str]:
    metadata = found["metadata"]
    return str(metadata.get("namespace", "")), str(metadata["name"])


def _version(found: Mapping[str, Any]) -> str:
    return str(found["metadata"].get("resourceVersion", ""))


def _is_older(version: str, known: str) -> bool:
    """True where a version is older than a known one: those of one resource are growing numbers."""
    return version.isdigit() and known.isdigit() and int(version) < int(known)
