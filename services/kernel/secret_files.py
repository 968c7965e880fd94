"""Secrets in files: `HARMONY_PUSH_TOKEN_FILE=/run/token` stands for the content of that file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from services.kernel.errors import ConfigurationError

SECRETS = ("database_url", "redis_url", "push_token", "oidc_client_secret")
"""Settings that may hold a secret. The admin key is read from a file only (`admin_key_file`)."""


def file_of(name: str, environ: Mapping[str, str] | None = None) -> str:
    """Path of the file that holds a setting; empty: none does."""
    given = os.environ if environ is None else environ
    return given.get(f"HARMONY_{name.upper()}_FILE", "")


def secrets_in_files(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Settings that are given by files, without surrounding white space.

    Raises:
        ConfigurationError: A file cannot be read, or the variable itself is set as well.
    """
    given = os.environ if environ is None else environ
    found: dict[str, str] = {}
    for name in SECRETS:
        variable = f"HARMONY_{name.upper()}"
        file = file_of(name, given)
        if not file:
            continue
        if given.get(variable):
            raise ConfigurationError(f"{variable} and {variable}_FILE are set; give one of them")
        try:
            found[name] = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "no UTF-8 text"
            raise ConfigurationError(
                f"{variable}_FILE={file!r} cannot be read: {reason}"
            ) from error
    return found
