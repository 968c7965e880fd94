"""The one place that knows which sources there are; `source` says how to add another."""

from __future__ import annotations

from services.ingest.series.prometheus import FetchLimits, PrometheusSource
from services.ingest.series.source import Source
from services.kernel.security.sources import GuardedTransport, check_url, parse_policy
from services.kernel.settings import Settings


def make_source(settings: Settings) -> Source | None:
    """The source that the settings name; None: samples are pushed only.

    Raises:
        ConfigurationError: Its URL is none, or leads where no source may be.
    """
    if not settings.prometheus_url:
        return None
    url, policy = settings.prometheus_url, parse_policy(settings.source_allow)
    limits = FetchLimits(timeout_s=settings.prometheus_timeout_s)
    source = PrometheusSource(url, limits, transport=GuardedTransport(policy))
    check_url(url, policy, "HARMONY_PROMETHEUS_URL")
    return source
