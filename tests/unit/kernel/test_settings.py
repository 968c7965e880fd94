"""Wrong settings are one clear line; every setting is documented."""

from pathlib import Path

import pytest

from services.kernel.errors import ConfigurationError
from services.kernel.settings import Settings, get_settings

REPO = Path(__file__).parents[3]


def test_a_wrong_value_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARMONY_STEP_S", "soon")
    get_settings.cache_clear()
    with pytest.raises(ConfigurationError, match=r"HARMONY_STEP_S='soon'"):
        get_settings()
    get_settings.cache_clear()


def test_every_setting_is_documented_with_its_default() -> None:
    documented = (REPO / "docs" / "settings.md").read_text()
    missing = []
    for name, field in Settings.model_fields.items():
        default = field.default
        row = f"| `HARMONY_{name.upper()}` | `{'' if default is None else default}` |"
        if row not in documented:
            missing.append(f"{row} {field.description} |")
        assert field.description, name
    assert missing == [], "\n".join(missing)


def test_no_setting_is_documented_that_does_not_exist() -> None:
    documented = (REPO / "docs" / "settings.md").read_text()
    names = {f"HARMONY_{name.upper()}" for name in Settings.model_fields}
    found = {
        line.split("`")[1] for line in documented.splitlines() if line.startswith("| `HARMONY_")
    }
    assert found - names == set()
