"""A source whose URL may not be asked is refused, and named."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.ingest import tasks
from services.ingest.series.source import RangeQuery, SourceError
from services.kernel.errors import ConfigurationError
from services.kernel.settings import Settings

pytestmark = pytest.mark.integration
T0 = datetime(2026, 1, 5, tzinfo=UTC)


def test_a_source_that_may_not_be_asked_is_refused(settings: Settings) -> None:
    for url in ("http://127.0.0.1:9090", "http://169.254.169.254"):
        asked = settings.model_copy(update={"prometheus_url": url})
        with pytest.raises(ConfigurationError, match=r"HARMONY_PROMETHEUS_URL.*SOURCE_ALLOW"):
            tasks.make_deps(asked)
    named = {"prometheus_url": "http://localhost:1", "source_allow": ""}
    deps = tasks.make_deps(settings.model_copy(update=named))
    assert deps.source is not None
    with pytest.raises(SourceError, match=r"localhost.*may not be asked") as caught:
        deps.source.fetch(RangeQuery("up", T0, T0, 60))
    assert caught.value.reason == "forbidden"
    deps.close()
    listed = {"prometheus_url": "http://127.0.0.1:1", "source_allow": "127.0.0.1"}
    deps = tasks.make_deps(settings.model_copy(update=listed))
    assert deps.source is not None
    with pytest.raises(SourceError) as caught:
        deps.source.fetch(RangeQuery("up", T0, T0, 60))
    assert caught.value.reason == "unreachable"
    deps.close()


def test_a_wrong_source_url_is_named(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="HARMONY_PROMETHEUS_URL"):
        tasks.make_deps(settings.model_copy(update={"prometheus_url": "file:///etc/passwd"}))
