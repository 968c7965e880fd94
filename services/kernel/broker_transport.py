"""Redis as Celery's broker, for queues that a stranger may write to.

Celery's own transport ends the worker at a message that is none. Each would cost a start, and a
handful of them minutes: here they are logged and dropped, and what is well-formed but makes no
sense is left to Celery, which does the same. And a worker of several queues finishes what has been
begun: it takes a decision before a forecast, and a forecast before samples.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis
from kombu.utils.scheduling import sorted_cycle

from services.kernel.telemetry import get_logger

_SHOWN = 200
_N_LIMITS = 2
_BODY: tuple[type | tuple[type, ...], ...] = (list, dict, (dict, type(None)))
"""Types of what the body of a task's message holds: arguments, those by name, and what follows."""
_LATEST_FIRST = ("decide", "forecast", "ingest", "fit")
"""Queues in the order in which a worker looks into them, among jobs of one priority."""


class LaterStagesFirst(sorted_cycle):
    """The order of a worker's queues: what a later stage waits for is not begun before it.

    Queues in turn would have an overloaded worker forecast one origin after the other and decide on
    a few of them, late. A later stage has no work but what an earlier one has made, so that one's
    turn comes.
    """

    def consume(self, n: int) -> list[str]:
        """The queues, in order."""
        return sorted(self.items[:n], key=_place)


def _place(queue: str) -> tuple[int, str]:
    is_known = queue in _LATEST_FIRST
    return _LATEST_FIRST.index(queue) if is_known else len(_LATEST_FIRST), queue


class WaryChannel(redis.Channel):
    """Reads messages; bytes that are no JSON are dropped."""

    queue_order_strategy = f"{LaterStagesFirst.__module__}:{LaterStagesFirst.__name__}"

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]  # kombu
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
            _log(str(error))
            return True


class WaryTransport(redis.Transport):
    """Hands on messages; JSON of another shape is dropped."""

    Channel = WaryChannel

    def _deliver(self, message: Any, queue: str) -> None:
        fault = message_fault(message)
        if fault:
            _log(fault, queue)
        else:
            super()._deliver(message, queue)  # type: ignore[no-untyped-call]  # kombu


def message_fault(message: Any) -> str:
    """What keeps a message from being one of Celery's; empty where nothing does.

    Celery ends its worker at some of these, which first puts the message back: the next worker ends
    at it too.
    """
    if not isinstance(message, dict):
        return f"it is a {type(message).__name__}, no object"
    properties, headers = message.get("properties"), message.get("headers")
    if not isinstance(properties, dict) or not isinstance(headers, dict):
        return "it has no properties or no headers"
    for name in ("content-type", "content-encoding"):
        if not isinstance(message.get(name, ""), str):
            return f"its {name} is no text"
    return _place_fault(properties) or _task_fault(headers) or _body_fault(message, properties)


def _place_fault(properties: dict[str, Any]) -> str:
    info, tag = properties.get("delivery_info"), properties.get("delivery_tag")
    if not tag or not isinstance(tag, str) or not isinstance(info, dict):
        return "it has no delivery_tag or no delivery_info"
    if not {"exchange", "routing_key"} <= info.keys():
        return "its delivery_info has no exchange or no routing_key"
    return ""


def _task_fault(headers: dict[str, Any]) -> str:
    if not isinstance(headers.get("task"), str) or not isinstance(headers.get("id"), str):
        return "it names no task or has no id"
    limits, stamped = headers.get("timelimit"), headers.get("stamped_headers")
    if limits is not None and not (isinstance(limits, list) and len(limits) == _N_LIMITS):
        return "its timelimit is no pair"
    return "" if stamped is None or isinstance(stamped, list) else "its stamped_headers are no list"


def _body_fault(message: dict[str, Any], properties: dict[str, Any]) -> str:
    body, encoding = message.get("body"), properties.get("body_encoding")
    if not isinstance(body, str) or encoding not in (None, "base64"):
        return "its body is no text, or of an unknown encoding"
    try:
        text = base64.b64decode(body).decode() if encoding else body
    except ValueError:
        return "its body is not base64 of text"
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return ""  # Celery says so, and drops it
    is_whole = isinstance(found, list) and len(found) == len(_BODY)
    if not is_whole or not all(
        isinstance(one, kind) for one, kind in zip(found, _BODY, strict=True)
    ):
        return "its body is not the arguments of a task"
    return ""


def use_wary_transport() -> None:
    """Let every Redis URL of this process mean it."""
    name = f"{WaryTransport.__module__}:{WaryTransport.__name__}"
    TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), name))


def _log(reason: str, queue: str = "") -> None:
    get_logger("worker").error("message_dropped", queue=queue, reason=reason[:_SHOWN])
