"""The admin REST API as the kubectl plugin calls it: typed answers, errors in one line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from services.admin.controls.schemas import PauseView
from services.admin.decisions.schemas import DecisionDetail, DecisionSummary, OutcomeView
from services.admin.freezes.schemas import FreezeView
from services.admin.workloads.schemas import WorkloadView
from services.kernel.clock import REPLAY_HEADER
from services.kernel.errors import (
    ConfigurationError,
    Conflict,
    Forbidden,
    HarmonyError,
    InvalidInput,
    NotFound,
    Unauthorized,
    Unavailable,
)

URL_VARIABLE = "HARMONY_URL"
KEY_VARIABLE = "HARMONY_KEY"
KEY_FILE_VARIABLE = "HARMONY_KEY_FILE"
CLUSTER_VARIABLE = "HARMONY_CLUSTER"
_TIMEOUT_S = 30.0
_PAGE = 500
_ERRORS = {
    error.http_status: error
    for error in (Conflict, Forbidden, InvalidInput, NotFound, Unauthorized, Unavailable)
}
_Answer = TypeVar("_Answer", bound=BaseModel)


def read_server(given: str | None, environment: Mapping[str, str]) -> str:
    """Address of the admin API: `--server`, else HARMONY_URL.

    Raises:
        ConfigurationError: Neither is given, or it is no http(s) URL.
    """
    server = given or environment.get(URL_VARIABLE, "")
    if not server:
        raise ConfigurationError(
            f"no Harmony server: set {URL_VARIABLE} or --server, e.g. http://127.0.0.1:8080 after "
            "`kubectl port-forward` to the admin service"
        )
    try:
        url = httpx.URL(server)
    except httpx.InvalidURL as error:
        raise ConfigurationError(f"server {server!r} is no URL: {error}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigurationError(f"server {server!r} must read http://HOST or https://HOST")
    return server.rstrip("/")


def read_key(key_file: Path | None, environment: Mapping[str, str]) -> str:
    """The API key: from `--key-file`, else the file of HARMONY_KEY_FILE, else HARMONY_KEY.

    Never from the command line, where every user of the machine could read it.

    Raises:
        ConfigurationError: There is none, or the file cannot be read.
    """
    named = environment.get(KEY_FILE_VARIABLE, "")
    file = key_file or (Path(named) if named else None)
    if file is None:
        key = environment.get(KEY_VARIABLE, "").strip()
    else:
        try:
            key = file.expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"key file {str(file)!r} cannot be read: {error}") from error
    if not key:
        where = f"key file {str(file)!r} is empty" if file else "no API key"
        raise ConfigurationError(
            f"{where}: set --key-file, {KEY_FILE_VARIABLE} or {KEY_VARIABLE}; a key reads "
            "hk_<prefix>_<secret>"
        )
    if not key.isascii() or any(character.isspace() for character in key):
        raise ConfigurationError("the API key must be one word hk_<prefix>_<secret>")
    return key


class AdminApi:
    """Reads from the admin API; close it after use.

    Attributes:
        replayed_at: Time of the data where the server replays one, by its last answer.
    """

    def __init__(self, server: str, key: str, cluster: str = "") -> None:
        """Call `server` with the API key `key` about a cluster; empty: the key's own."""
        self.server = server
        self.replayed_at: datetime | None = None
        self._client = httpx.Client(
            base_url=server,
            headers={"Authorization": f"Bearer {key}", "User-Agent": "kubectl-harmony"},
            params={"cluster": cluster} if cluster else {},
            timeout=_TIMEOUT_S,
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def workload(self, namespace: str, name: str) -> WorkloadView:
        """One workload with its live state."""
        path = f"/v1/workloads/{quote(namespace, safe='')}/{quote(name, safe='')}"
        return self._read(WorkloadView, self._get(path))

    def workloads(self, namespace: str | None) -> list[WorkloadView]:
        """Active workloads of a namespace, or of all."""
        filters = {} if namespace is None else {"namespace": namespace}
        return [self._read(WorkloadView, item) for item in self._items("/v1/workloads", filters)]

    def pause(self, namespace: str, name: str) -> PauseView:
        """What is held of a workload."""
        path = f"/v1/workloads/{quote(namespace, safe='')}/{quote(name, safe='')}/pause"
        return self._read(PauseView, self._get(path))

    def freezes(self, namespace: str) -> list[FreezeView]:
        """Freezes that stand, of a namespace and of the fleet."""
        filters = {"namespace": namespace, "standing": "true"}
        return [self._read(FreezeView, item) for item in self._items("/v1/freezes", filters)]

    def decision(self, decision_id: int) -> DecisionDetail:
        """One decision with its explanation, actions and outcomes."""
        return self._read(DecisionDetail, self._get(f"/v1/decisions/{decision_id}"))

    def decisions(
        self, namespace: str, name: str, limit: int, *, has_changes: bool = False
    ) -> list[DecisionSummary]:
        """The newest decisions of a workload, newest first; without holds where `has_changes`."""
        filters = {"workload": f"{namespace}/{name}", "changes": str(has_changes).lower()}
        items = self._items("/v1/decisions", filters, limit)
        return [self._read(DecisionSummary, item) for item in items]

    def newest_decision(self, namespace: str, name: str) -> DecisionSummary:
        """The newest decision of a workload.

        Raises:
            NotFound: There is none yet, or no such workload.
        """
        found = self.decisions(namespace, name, 1)
        if not found:
            raise NotFound(f"{namespace}/{name} has no decision yet")
        return found[0]

    def outcomes(self, namespace: str, name: str, since: datetime) -> list[OutcomeView]:
        """Measured outcomes of a workload since `since`, newest first."""
        filters = {"workload": f"{namespace}/{name}", "from_at": since.isoformat()}
        return [self._read(OutcomeView, item) for item in self._items("/v1/outcomes", filters)]

    def _items(
        self, path: str, filters: Mapping[str, str], limit: int | None = None
    ) -> Iterator[Any]:
        """Items of a list, page by page."""
        left, cursor = limit, None
        while left is None or left > 0:
            size = _PAGE if left is None else min(_PAGE, left)
            page = self._get(path, {**filters, "limit": str(size)} | _cursor(cursor))
            yield from page.get("items", ())
            left = None if left is None else left - size
            cursor = page.get("next_cursor")
            if cursor is None:
                return

    def _get(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        try:
            answer = self._client.get(path, params=query)
        except httpx.HTTPError as error:
            raise Unavailable(
                f"{self.server} cannot be reached: {error or type(error).__name__}; is --server or "
                f"{URL_VARIABLE} right, does a port-forward still run?"
            ) from error
        try:
            body = answer.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise ConfigurationError(
                f"{self.server} answered {answer.status_code} without a JSON object; it must be "
                "the address of Harmony's admin API"
            )
        self.replayed_at = _time_of(answer.headers.get(REPLAY_HEADER))
        if answer.status_code >= 400:
            kind = _ERRORS.get(answer.status_code, HarmonyError)
            raise kind(str(body.get("detail") or f"{path}: HTTP {answer.status_code}"))
        return body

    def _read(self, kind: type[_Answer], value: Any) -> _Answer:
        try:
            return kind.model_validate(value)
        except ValidationError as error:
            place = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise HarmonyError(
                f"{self.server} answered a {kind.__name__} without a readable {place}; the plugin "
                "and the server must be of the same version"
            ) from error


def _time_of(told: str | None) -> datetime | None:
    """A time with an offset, else None."""
    try:
        at = datetime.fromisoformat(told or "")
    except ValueError:
        return None
    return None if at.tzinfo is None else at


def _cursor(cursor: str | None) -> dict[str, str]:
    return {} if cursor is None else {"cursor": cursor}
