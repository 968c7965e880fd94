"""Secrets come from files or from the environment, and are not shown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.kernel.db.session import shown_url, sqlalchemy_url
from services.kernel.errors import ConfigurationError
from services.kernel.secret_files import SECRETS, file_of, secrets_in_files
from services.kernel.settings import Settings, get_settings


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


def test_a_file_stands_for_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        (tmp_path / name).write_text(f"secret of {name}\n")
        monkeypatch.delenv(f"HARMONY_{name.upper()}", raising=False)
        monkeypatch.setenv(f"HARMONY_{name.upper()}_FILE", str(tmp_path / name))
    settings = get_settings()
    assert settings.database_url == "secret of database_url"
    assert settings.redis_url == "secret of redis_url"
    assert settings.push_token is not None
    assert settings.push_token.get_secret_value() == "secret of push_token"
    assert "secret of push_token" not in repr(settings)


def test_what_cannot_be_is_named(tmp_path: Path) -> None:
    file = tmp_path / "token"
    with pytest.raises(ConfigurationError, match=r"^HARMONY_PUSH_TOKEN_FILE=.*No such file"):
        secrets_in_files({"HARMONY_PUSH_TOKEN_FILE": str(file)})
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match=r"no UTF-8"):
        secrets_in_files({"HARMONY_PUSH_TOKEN_FILE": str(file)})
    both = {"HARMONY_PUSH_TOKEN_FILE": str(file), "HARMONY_PUSH_TOKEN": "sesame"}
    with pytest.raises(ConfigurationError, match=r"give one of them") as caught:
        secrets_in_files(both)
    assert "sesame" not in caught.value.message
    assert secrets_in_files({"HARMONY_PUSH_TOKEN_FILE": ""}) == {}


def test_every_setting_that_may_hold_a_secret_is_among_them() -> None:
    words = ("token", "password", "secret", "database_url", "redis_url")
    held = {name for name in Settings.model_fields if any(word in name for word in words)}
    assert held == set(SECRETS)


def test_a_password_in_a_url_is_not_shown() -> None:
    assert shown_url("postgresql://me:secret@h:5432/x") == "postgresql://…@h:5432/x"
    assert shown_url("postgresql://h/x") == "postgresql://h/x"
    with pytest.raises(ConfigurationError, match="must be a Postgres URL") as caught:
        sqlalchemy_url("mysql://me:secret@h/x")
    assert "secret" not in caught.value.message


def test_the_file_of_a_setting_can_be_asked_for() -> None:
    assert file_of("push_token", {"HARMONY_PUSH_TOKEN_FILE": "/run/token"}) == "/run/token"
    assert file_of("push_token", {}) == ""
