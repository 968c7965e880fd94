"""Redis as Celery's broker, for queues that a stranger may write to.

Celery's own transport ends the worker at a message that is none. Each would cost a start, and a
handful of them minutes: here they are logged and dropped, and what is well-formed but makes no
sense is left to Celery, which does the same.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis

from services.kernel.telemetry import get_logger

_SHOWN = 200


class WaryChannel(redis.Channel):
    """Reads messages; bytes that are no JSON are dropped."""

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]  # kombu
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
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
    """What keeps a message from being one of Celery's; empty where nothing does."""
    if not isinstance(message, dict):
        return f"it is a {type(message).__name__}, no object"
    properties = message.get("properties")
    if not isinstance(properties, dict) or not isinstance(message.get("headers"), dict):
        return "it has no properties or no headers"
    info = properties.get("delivery_info")
    if not properties.get("delivery_tag") or not isinstance(info, dict):
        return "it has no delivery_tag or no delivery_info"
    if not {"exchange", "routing_key"} <= info.keys():
        return "its delivery_info has no exchange or no routing_key"
    body = message.get("body")
    if not isinstance(body, str):
        return "its body is no text"
    if properties.get("body_encoding") == "base64":
        try:
            base64.b64decode(body).decode()
        except ValueError:
            return "its body is not base64 of text"
    return ""


def use_wary_transport() -> None:
    """Let every Redis URL of this process mean it."""
    name = f"{WaryTransport.__module__}:{WaryTransport.__name__}"
    TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), name))


def _log(reason: str, queue: str = "") -> None:
    get_logger("worker").error("message_dropped", queue=queue, reason=reason[:_SHOWN])
