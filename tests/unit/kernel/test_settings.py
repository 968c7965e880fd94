"""Wrong settings are one clear line; every setting is documented."""

import pytest

from services.kernel.errors import ConfigurationError
from services.kernel.settings import get_settings


def test_a_wrong_value_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARMONY_STEP_S", "soon")
    get_settings.cache_clear()
    with pytest.raises(ConfigurationError, match=r"HARMONY_STEP_S='soon'"):
        get_settings()
    get_settings.cache_clear()
