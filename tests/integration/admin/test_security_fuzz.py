"""The whole REST schema, fuzzed: no 5xx, and no status, content type or body undocumented.

`HARMONY_FUZZ_EXAMPLES=200` looks longer. Requests are drawn from the OpenAPI document, right ones
and wrong ones, half of them about objects that exist.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, seed, settings as hypothesis_settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from structlog.testing import capture_logs

from services.admin.app import make_app
from services.admin.deps import AdminDeps
from services.kernel.security.keys import Role

pytestmark = [pytest.mark.integration, pytest.mark.slow]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
FUZZ = hypothesis_settings(
    max_examples=int(os.environ.get("HARMONY_FUZZ_EXAMPLES", "3")),
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
THERE = {
    "namespace": "llm-prod",
    "name": "llama-70b-chat",
    "decision_id": 100_000,
    "gpu_type": "H100",
}
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)


def operations(app: FastAPI) -> Iterator[Any]:
    """Operations of the document but streams, which do not end."""
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    for found in schema.get_all_operations():
        operation = found.ok()
        if "text/event-stream" not in str(operation.definition.raw.get("responses")):
            yield operation


def has_input(operation: Any) -> bool:
    """Whether anything about a request of it can be wrong."""
    raw = operation.definition.raw
    return bool(raw.get("parameters") or raw.get("requestBody"))


class Fuzzer:
    """Sends requests of an operation and keeps what was wrong with the answers."""

    def __init__(self, headers: dict[str, str]) -> None:
        self.headers = headers
        self.statuses: Counter[int] = Counter()
        self.failures: list[str] = []

    def run(self, operation: Any, mode: GenerationMode) -> None:
        @seed(7)
        @FUZZ
        @given(case=operation.as_strategy(generation_mode=mode))
        def fuzz(case: Any) -> None:
            self.send(case)
            if any(name in THERE for name in case.path_parameters):
                known = {name: THERE.get(name, v) for name, v in case.path_parameters.items()}
                case.path_parameters = known
                self.send(case)

        try:
            fuzz()
        except Exception as error:  # noqa: BLE001 - all findings of a run, not the first one
            self.failures.append(f"{operation.label}, {mode.value}: {error!s:.1500}")

    def send(self, case: Any) -> None:
        response = case.call(headers=self.headers)
        self.statuses[response.status_code] += 1
        case.validate_response(response, checks=CHECKS)


@pytest.mark.usefixtures("seeded")
def test_nothing_undocumented_comes_back(deps: AdminDeps, keys: dict[Role, str]) -> None:
    fuzzer = Fuzzer({"Authorization": f"Bearer {keys[Role.ADMIN]}"})
    with capture_logs():
        for operation in operations(make_app(deps)):
            for mode in MODES if has_input(operation) else MODES[:1]:
                fuzzer.run(operation, mode)
    assert fuzzer.failures == [], "\n\n".join(fuzzer.failures)
    assert {200, 404, 422} <= set(fuzzer.statuses)
