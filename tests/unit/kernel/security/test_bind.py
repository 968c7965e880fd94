"""Nothing leaves this machine without a credential that callers need."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from services.kernel.errors import ConfigurationError
from services.kernel.security.bind import check_bind, is_loopback
from services.kernel.settings import Settings

CREDENTIALS = {"admin_key_file": Path("/run/key"), "push_token": SecretStr("sesame")}


def settings(host: str, **changes: object) -> Settings:
    return Settings(_env_file=None).model_copy(update={"host": host, **changes})


def test_the_default_is_this_machine() -> None:
    assert is_loopback(Settings(_env_file=None).host)
    for host in ("127.0.0.1", "127.8.9.1", "::1", "[::1]", "localhost"):
        for credential in CREDENTIALS:
            check_bind(settings(host), credential)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.0.0.7", "2001:db8::1", "gpu-box"])
def test_a_public_address_needs_a_credential(host: str) -> None:
    for credential, value in CREDENTIALS.items():
        with pytest.raises(ConfigurationError) as caught:
            check_bind(settings(host), credential)
        assert f"HARMONY_HOST={host!r}" in caught.value.message
        assert f"HARMONY_{credential.upper()} is not set" in caught.value.message
        other = next(name for name in CREDENTIALS if name != credential)
        with pytest.raises(ConfigurationError):
            check_bind(settings(host, **{other: CREDENTIALS[other]}), credential)
        check_bind(settings(host, **{credential: value}), credential)
        check_bind(settings(host, public_bind=True), credential)
