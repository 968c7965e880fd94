"""Wrong settings are one clear line; every setting is documented."""

from datetime import UTC, datetime

import pytest

from services.ingest.retention import retention
from services.kernel.errors import ConfigurationError
from services.kernel.settings import MOST_DAYS, Settings, get_settings


def test_a_wrong_value_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARMONY_STEP_S", "soon")
    get_settings.cache_clear()
    with pytest.raises(ConfigurationError, match=r"HARMONY_STEP_S='soon'"):
        get_settings()
    get_settings.cache_clear()


@pytest.mark.parametrize("kept", ["observations", "indicators", "forecasts", "decisions"])
def test_what_is_kept_for_ever_has_a_first_day(kept: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a time before the year 1 every clean-up, and every push of history, would fail."""
    longest = retention(Settings(**{f"retain_{kept}_days": MOST_DAYS}))
    assert datetime(2026, 1, 5, tzinfo=UTC) - max(longest.values()) > datetime.min.replace(
        tzinfo=UTC
    )
    for days in ("999999", "inf"):
        monkeypatch.setenv(f"HARMONY_RETAIN_{kept.upper()}_DAYS", days)
        get_settings.cache_clear()
        with pytest.raises(ConfigurationError, match=f"HARMONY_RETAIN_{kept.upper()}_DAYS"):
            get_settings()
    get_settings.cache_clear()


def test_no_source_is_later_than_a_sample_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARMONY_LATE_S", "60")
    monkeypatch.setenv("HARMONY_SOURCE_LATE_S", "90")
    with pytest.raises(ConfigurationError, match=r"HARMONY_SOURCE_LATE_S='90'.*at most late_s=60"):
        get_settings.__wrapped__()
    monkeypatch.setenv("HARMONY_SOURCE_LATE_S", "60")
    assert get_settings.__wrapped__().source_late_s == 60


def test_a_seed_is_one_that_every_generator_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each fit would else end in a traceback."""
    monkeypatch.setenv("HARMONY_SEED", str(2**31 - 1))
    assert get_settings.__wrapped__().seed == 2**31 - 1
    monkeypatch.setenv("HARMONY_SEED", "99999999999999999999")
    with pytest.raises(ConfigurationError, match="HARMONY_SEED"):
        get_settings.__wrapped__()
