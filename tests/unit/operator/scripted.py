"""An API server whose answers a test writes down."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kubernetes import client

from services.operator.wire.http import Call, KubeHttp

Answer = tuple[int, Mapping[str, str], bytes]


class Scripted(KubeHttp):
    """Answers from a list instead of the network."""

    def __init__(self, answers: list[Answer | Exception]) -> None:
        self.slept: list[float] = []
        configuration = client.Configuration()
        configuration.host = "http://127.0.0.1:1"
        super().__init__(configuration, self.slept.append)
        self.answers = answers
        self.calls: list[Call] = []

    def _once(self, call: Call) -> Answer:
        self.calls.append(call)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def ok(body: Any) -> Answer:
    return 200, {}, json.dumps(body).encode()


def refusal(status: int, reason: str = "", headers: Mapping[str, str] | None = None) -> Answer:
    body = {"kind": "Status", "reason": reason, "message": f"{reason} it is"}
    return status, headers or {}, json.dumps(body).encode()
