"""The push token of a platform on one machine, which nobody has to think of: it is drawn, and kept.

Without a token every page that a browser on this machine shows could send samples.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from services.kernel.errors import ConfigurationError

TOKEN_FILE = "push-token"  # noqa: S105 - a name, no secret
_OWNER_ONLY = 0o600


def kept_token(folder: Path) -> str:
    """The token in a folder's file, drawn now if there is none; the file is its owner's alone.

    Raises:
        ConfigurationError: The file cannot be read or written.
    """
    file = folder / TOKEN_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        number = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, _OWNER_ONLY)
        with os.fdopen(number, "r+", encoding="utf-8") as stream:
            os.fchmod(stream.fileno(), _OWNER_ONLY)
            token = stream.read().strip()
            if not token:
                token = f"hp_{secrets.token_urlsafe(32)}"
                stream.seek(0)
                stream.write(f"{token}\n")
                stream.truncate()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{file}: the push token can be neither read nor left there ({error}); "
            "set HARMONY_PUSH_TOKEN, or another HARMONY_HOME"
        ) from error
    return token
