"""HTTP to the API server: counting, time limits, bounded retries, the server's own messages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from services.kernel import telemetry
from services.kernel.errors import ConfigurationError

_PAUSES_S = (0.05, 0.2, 0.8)
_MAX_RETRY_AFTER_S = 5.0
_CHUNK = 2**16
_RETRIED_STATUS = {429, 500, 502, 503, 504}
_TIMED_OUT = "ReadTimeoutError"
_OF_OBJECT = {400, 404, 409, 413, 422}
_OF_ALL = {0, 401, 403, 429}
_BROKEN = (urllib3.exceptions.HTTPError, ApiException, OSError, config.ConfigException)
"""No answer; or no credentials, while the file that holds them is being written."""


class KubeError(Exception):
    """The API server refused or could not be reached.

    Attributes:
        status: HTTP status; 0 when there was no answer.
        reason: The server's one-word reason, or the name of the network error.
    """

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message

    @property
    def is_conflict(self) -> bool:
        """The object changed since it was read."""
        return self.status == 409

    @property
    def is_missing(self) -> bool:
        """There is no such object, or no such kind."""
        return self.status == 404

    @property
    def is_of_object(self) -> bool:
        """It is about the one object and what was written to it: another may do."""
        return self.status in _OF_OBJECT

    @property
    def is_of_all(self) -> bool:
        """It is about who asks, or the API server is away: the next one would meet it too."""
        return self.status in _OF_ALL

    @property
    def is_ambiguous(self) -> bool:
        """It is unknown if the request took effect."""
        return self.status == 0 or self.status >= 500


@dataclass(frozen=True, slots=True)
class Call:
    """One request.

    Attributes:
        verb: Verb of RBAC (`list`, `watch`, `get`, `patch`, `create`, `update`), for the metric
            and the audit of rights.
        resource: Resource with its subresource, e.g. `deployments/scale`.
        content_type: Of the body.
        is_repeatable: It may be sent again when it is not known if the first attempt worked.
        is_final_500: An answer 500, or none in time, is of this one object, as of a webhook that
            fails for it: it is not sent again.
    """

    verb: str
    resource: str
    path: str
    body: Any = None
    content_type: str = "application/json"
    is_repeatable: bool = True
    is_final_500: bool = False

    def may_repeat(self, failure: KubeError) -> bool:
        """True where it may be sent again after such a failure."""
        if failure.status == 429:
            return True
        is_of_webhook = failure.status == 500 or failure.reason == _TIMED_OUT
        if not self.is_repeatable or (self.is_final_500 and is_of_webhook):
            return False
        return failure.status in _RETRIED_STATUS or failure.status == 0


_METHODS = {
    "list": "GET",
    "get": "GET",
    "patch": "PATCH",
    "create": "POST",
    "update": "PUT",
    "delete": "DELETE",
}


@dataclass(frozen=True, slots=True)
class RequestSettings:
    """Time limits and retries of requests.

    Attributes:
        connect_s: Time limit of a connection.
        read_s: Time limit of an answer.
        pauses_s: Waits between attempts, one fewer than there are attempts.
        may_send: Called before each attempt; where it is false, the request ends as if the API
            server were away.
        cluster: Its name, in what is counted.
    """

    connect_s: float = 3.0
    read_s: float = 20.0
    pauses_s: tuple[float, ...] = _PAUSES_S
    may_send: Callable[[], bool] = lambda: True
    cluster: str = "default"


def load_configuration(kube_url: str) -> client.Configuration:
    """Load the API server's address and the credentials.

    Args:
        kube_url: Plain HTTP address (tests, demo); empty: the pod's service account, else the
            kubeconfig.

    Raises:
        ConfigurationError: There is neither.
    """
    settings = client.Configuration()
    if kube_url:
        settings.host = kube_url.rstrip("/")
    else:
        try:
            config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]  # the client has no types here
        except config.ConfigException:
            try:
                config.load_kube_config(client_configuration=settings)  # type: ignore[no-untyped-call]  # as above
            except config.ConfigException as error:
                raise ConfigurationError(
                    f"no API server: {error}; run in a cluster, set KUBECONFIG or HARMONY_KUBE_URL"
                ) from error
    settings.retries = False
    return settings


class KubeHttp:
    """Sends requests; safe to use from several threads."""

    def __init__(
        self,
        settings: client.Configuration,
        sleep: Callable[[float], None] = time.sleep,
        request: RequestSettings | None = None,
    ) -> None:
        """Use the API server and credentials of `settings`; `sleep` waits between attempts."""
        self._settings = settings
        self._request = request or RequestSettings()
        self._client = client.ApiClient(settings)
        self._sleep = sleep
        self.n_calls = 0

    def close(self) -> None:
        """Close the connections."""
        self._client.rest_client.close()

    def send(self, call: Call) -> Any:
        """The answer's JSON.

        Waits and tries again on 429 (as long as the server asks, at most five seconds) and, where
        the call is repeatable, on 5xx and broken connections; at most four attempts.

        Raises:
            KubeError: It was refused, or did not work in the end.
        """
        for pause_s in (*self._request.pauses_s, None):
            if not self._request.may_send():
                reason = "this operator does not lead (any longer)"
                raise KubeError(0, "NotLeading", f"{call.path}: {reason}")
            try:
                status, headers, content = self._once(call)
                if status < 300:
                    return orjson.loads(content) if content else {}
                failure = _refusal(status, content, call)
            except (*_BROKEN, orjson.JSONDecodeError) as error:
                failure = KubeError(0, type(error).__name__, f"{call.path}: {error}")
                headers = {}
            if pause_s is None or not call.may_repeat(failure):
                break
            self._sleep(_pause_s(headers, pause_s))
        raise failure

    def stream(self, call: Call, silence_s: float) -> Iterator[bytes]:
        """Lines of a WATCH as they come, until the server ends it; one attempt.

        The first one is empty: the watch has begun.

        Args:
            call: The WATCH.
            silence_s: How long nothing may come.

        Raises:
            KubeError: It was refused, or the connection broke.
        """
        self.n_calls += 1
        code, rest = "none", b""
        headers = {"Accept": "application/json", "User-Agent": "harmony-operator"}
        try:
            response = self._client.rest_client.pool_manager.request(
                "GET",
                f"{self._settings.host}{call.path}",
                headers=headers | self._authorization(),
                timeout=urllib3.Timeout(connect=self._request.connect_s, read=silence_s),
                preload_content=False,
                retries=False,
            )
            code = str(response.status)
            if response.status >= 300:
                raise _refusal(response.status, response.read(), call)
            try:
                yield b""
                for chunk in response.stream(_CHUNK):
                    *lines, rest = (rest + chunk).split(b"\n")
                    yield from lines
            finally:
                response.close()
        except _BROKEN as error:
            raise KubeError(0, type(error).__name__, f"{call.path}: {error}") from error
        finally:
            self._count(call, code)

    def _once(self, call: Call) -> tuple[int, Mapping[str, str], bytes]:
        headers = {"Accept": "application/json", "User-Agent": "harmony-operator"}
        headers |= self._authorization()
        body = None
        if call.body is not None:
            headers["Content-Type"] = call.content_type
            body = orjson.dumps(call.body, option=orjson.OPT_PASSTHROUGH_DATETIME)
        self.n_calls += 1
        code = "none"
        try:
            pool = self._client.rest_client.pool_manager
            response = pool.request(
                _METHODS[call.verb],
                f"{self._settings.host}{call.path}",
                body=body,
                headers=headers,
                timeout=urllib3.Timeout(connect=self._request.connect_s, read=self._request.read_s),
                retries=False,
            )
            code = str(response.status)
            return response.status, response.headers, response.data
        finally:
            self._count(call, code)

    def _count(self, call: Call, code: str) -> None:
        verb = f"{call.verb} {call.resource}"
        telemetry.kube_requests_total.labels(self._request.cluster, verb, code).inc()

    def _authorization(self) -> dict[str, str]:
        settings: Mapping[str, Any] = dict(self._settings.auth_settings())
        return {
            entry["key"]: entry["value"]
            for entry in settings.values()
            if entry["in"] == "header" and entry["value"]
        }


def _pause_s(headers: Mapping[str, str], default_s: float) -> float:
    asked = headers.get("Retry-After", "")
    return min(float(asked), _MAX_RETRY_AFTER_S) if asked.isdigit() else default_s


def _refusal(status: int, content: bytes, call: Call) -> KubeError:
    try:
        answer = orjson.loads(content)
    except orjson.JSONDecodeError:
        answer = {}
    if not isinstance(answer, dict):
        answer = {}
    reason = str(answer.get("reason") or f"HTTP{status}")
    message = str(answer.get("message") or content[:200].decode(errors="replace"))
    return KubeError(status, reason, f"{call.verb} {call.resource}: {status} {reason}: {message}")
