"""Draws the secrets of the compose file, once: files that exist are left as they are."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

SECRETS = {
    "postgres-password": lambda _: secrets.token_urlsafe(24),
    "reader-password": lambda _: secrets.token_urlsafe(24),
    "grafana-password": lambda _: secrets.token_urlsafe(12),
    "push-token": lambda _: secrets.token_urlsafe(24),
    "admin-key": lambda _: f"hk_{secrets.token_hex(5)}_{secrets.token_urlsafe(32)}",
    "redis-conf": lambda _: f"requirepass {secrets.token_urlsafe(24)}\n",
    "redis-url": lambda folder: f"redis://:{redis_password(folder)}@redis:6379/0",
}
"""How each is drawn, given the folder with those before it."""


def redis_password(folder: Path) -> str:
    """The password that Valkey's configuration in `folder` asks for."""
    return (folder / "redis-conf").read_text().removeprefix("requirepass ").strip()


def main(folder: Path) -> int:
    """Write what is missing into `folder`."""
    for name, draw in SECRETS.items():
        path = folder / name
        if path.exists():
            continue
        part = path.with_suffix(".part")
        part.write_text(draw(folder))
        part.chmod(0o444)  # the users of the images differ; only they mount the folder
        os.replace(part, path)
        print(f"{name} drawn")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
