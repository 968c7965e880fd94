"""Rule for listening: beyond this machine only with a credential that callers need."""

from __future__ import annotations

import ipaddress

from services.kernel.errors import ConfigurationError
from services.kernel.settings import Settings


def is_loopback(host: str) -> bool:
    """Check whether only this machine can reach `host`; of names only localhost counts."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def check_bind(settings: Settings, credential: str) -> None:
    """Refuse to listen on `settings.host` where others could call without a credential.

    Args:
        settings: Settings.
        credential: The setting without which it must not leave this machine.

    Raises:
        ConfigurationError: It would be reachable from elsewhere without that.
    """
    if is_loopback(settings.host) or getattr(settings, credential) or settings.public_bind:
        return
    raise ConfigurationError(
        f"HARMONY_HOST={settings.host!r} is reachable from other machines, and "
        f"HARMONY_{credential.upper()} is not set; set it, listen on 127.0.0.1, or take the risk "
        "with HARMONY_PUBLIC_BIND=true"
    )
