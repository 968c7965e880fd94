"""Commands print what they do, so they log warnings only unless a level is set."""

from __future__ import annotations

import pytest

from services.cli import application
from services.kernel.settings import get_settings


@pytest.mark.parametrize(
    ("given", "level"), [(None, "WARNING"), ("INFO", "INFO"), ("DEBUG", "DEBUG")]
)
def test_commands_log_warnings_unless_a_level_is_set(
    monkeypatch: pytest.MonkeyPatch, given: str | None, level: str
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(application, "configure_logging", lambda level, _: asked.append(level))
    monkeypatch.setattr("sys.argv", ["harmony", "--help"])
    monkeypatch.delenv("HARMONY_LOG_LEVEL", raising=False)
    if given is not None:
        monkeypatch.setenv("HARMONY_LOG_LEVEL", given)
    get_settings.cache_clear()
    try:
        with pytest.raises(SystemExit):
            application.main()
    finally:
        get_settings.cache_clear()
    assert asked == [level]
