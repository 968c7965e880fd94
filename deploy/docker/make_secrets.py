"""Draws the secrets of the compose file, once: files that exist are left as they are."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

SECRETS = {
    "postgres-password": lambda: secrets.token_urlsafe(24),
    "reader-password": lambda: secrets.token_urlsafe(24),
    "grafana-password": lambda: secrets.token_urlsafe(12),
    "push-token": lambda: secrets.token_urlsafe(24),
    "admin-key": lambda: f"hk_{secrets.token_hex(5)}_{secrets.token_urlsafe(32)}",
}


def main(folder: Path) -> int:
    """Write what is missing into `folder`."""
    for name, draw in SECRETS.items():
        path = folder / name
        if path.exists():
            continue
        part = path.with_suffix(".part")
        part.write_text(draw())
        part.chmod(0o444)  # the users of the images differ; only they mount the folder
        os.replace(part, path)
        print(f"{name} drawn")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
