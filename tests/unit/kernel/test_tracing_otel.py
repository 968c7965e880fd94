"""Spans of OpenTelemetry: what is recorded, what is sampled, when it is off."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from services.kernel import tracing
from services.kernel.errors import ConfigurationError
from services.kernel.settings import Settings
from services.kernel.tracing import parse_traceparent, span
from services.kernel.tracing_otel import configure_tracing, make_provider

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEADER = f"00-{TRACE}-{SPAN}-01"


def settings(**given: object) -> Settings:
    return Settings(_env_file=None, **given)  # type: ignore[arg-type,call-arg]  # pydantic-settings


@pytest.fixture
def exported(request: pytest.FixtureRequest) -> Iterator[InMemorySpanExporter]:
    provider = make_provider(settings(otel_sample_ratio=getattr(request, "param", 1.0)), "test")
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    before = tracing.use_tracer(provider.get_tracer("harmony"))
    yield exporter
    tracing.use_tracer(before)
    provider.shutdown()


def test_spans_are_recorded_with_their_parents(exported: InMemorySpanExporter) -> None:
    with span("outer", parse_traceparent(HEADER), {"shard": 3}), span("inner") as inner:
        pass
    below, above = exported.get_finished_spans()
    assert [below.name, above.name] == ["inner", "outer"]
    assert above.context.trace_id == inner.trace_id == int(TRACE, 16)
    assert above.parent is not None
    assert format(above.parent.span_id, "016x") == SPAN
    assert below.parent is not None
    assert below.parent.span_id == above.context.span_id
    assert below.context.span_id == inner.span_id
    assert dict(above.attributes or {}) == {"harmony.shard": 3}
    assert above.resource.attributes["service.name"] == "harmony-test"


def test_an_error_is_noted_and_goes_on(exported: InMemorySpanExporter) -> None:
    def fail() -> None:
        with span("fails"):
            raise ValueError("as it must")

    with pytest.raises(ValueError, match="as it must"):
        fail()
    (found,) = exported.get_finished_spans()
    assert found.status.is_ok is False
    assert [event.name for event in found.events] == ["exception"]


def test_a_trace_that_is_not_sampled_keeps_its_ids(exported: InMemorySpanExporter) -> None:
    with span("outer", parse_traceparent(HEADER[:-2] + "00")), span("inner") as inner:
        assert (inner.trace_id, inner.trace_flags.sampled) == (int(TRACE, 16), False)
    assert exported.get_finished_spans() == ()


@pytest.mark.parametrize("exported", [0.0], indirect=True)
def test_the_share_holds_for_traces_that_begin_here(exported: InMemorySpanExporter) -> None:
    with span("begun here") as own:
        assert own.trace_flags.sampled is False
    with span("begun elsewhere", parse_traceparent(HEADER)) as other:
        assert other.trace_flags.sampled is True
    assert [found.name for found in exported.get_finished_spans()] == ["begun elsewhere"]


def test_it_is_off_where_nothing_is_set() -> None:
    assert configure_tracing(settings(), "test") is None
    code = (
        "import sys; from services.kernel.settings import Settings;"
        "from services.kernel.tracing_otel import configure_tracing;"
        "configure_tracing(Settings(_env_file=None), 'test');"
        "sys.exit(any(name.startswith('opentelemetry.sdk') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_is_no_url_is_named() -> None:
    with pytest.raises(ConfigurationError, match="HARMONY_OTEL_ENDPOINT='collector:4318'"):
        configure_tracing(settings(otel_endpoint="collector:4318"), "test")


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ConfigurationError, match=r"harmony-gpu\[otel\]"):
        configure_tracing(settings(otel_endpoint="http://collector:4318/v1/traces"), "test")
