"""Traces to an OpenTelemetry collector, where `HARMONY_OTEL_ENDPOINT` names one.

The SDK and its exporter are an extra, `harmony-gpu[otel]`, and are imported only then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.kernel.errors import ConfigurationError
from services.kernel.settings import Settings
from services.kernel.tracing import use_tracer

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider


def make_provider(settings: Settings, component: str) -> TracerProvider:
    """A provider that samples as set and exports nothing yet.

    Raises:
        ConfigurationError: The extra is not installed.
    """
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    except ImportError as error:
        raise ConfigurationError(
            f"HARMONY_OTEL_ENDPOINT={settings.otel_endpoint!r}: traces need the extra packages of "
            "harmony-gpu[otel]; install them, or leave the setting empty"
        ) from error
    sampler = ParentBased(TraceIdRatioBased(settings.otel_sample_ratio))
    resource = Resource.create({"service.name": f"harmony-{component}"})
    return TracerProvider(sampler=sampler, resource=resource)


def configure_tracing(settings: Settings, component: str) -> TracerProvider | None:
    """Export this process's spans, where a collector is set; what is left goes out at exit.

    Args:
        settings: Settings.
        component: Part of Harmony that the process is; `service.name` is `harmony-<component>`.

    Returns:
        The provider, for whoever wants to flush it; None: no collector is set.

    Raises:
        ConfigurationError: The URL is none, or the extra is not installed.
    """
    if not settings.otel_endpoint:
        return None
    if not settings.otel_endpoint.startswith(("http://", "https://")):
        raise ConfigurationError(
            f"HARMONY_OTEL_ENDPOINT={settings.otel_endpoint!r} must be the URL of a collector, "
            "e.g. http://collector:4318/v1/traces"
        )
    provider = make_provider(settings, component)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    exporter = OTLPSpanExporter(endpoint=settings.otel_endpoint)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    use_tracer(provider.get_tracer("harmony"))
    return provider
