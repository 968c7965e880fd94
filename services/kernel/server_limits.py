"""How long a session of the database may be silent, idle or waiting: what both sides give up after.

A process whose node is lost, or that stands still, ends no transaction: its locks would stay for as
long as the server keeps the session, by itself two hours and longer. Whoever needs them waits: the
next leader of the operators, every shard of a GPU type.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_SILENT_S, _PROBE_S, _PROBES = 30, 10, 3
_UNHEARD_MS = 60_000
IDLE_S = 120
"""Seconds between two statements of a transaction, for what is computed in between.

The longest is the plan of a shard: 1.3 s of CPU for 512 workloads of four loads, so 10 s for one of
the largest size (4096), and 100 s on a core that ten processes share. What takes longer, or asks
another server, is done between transactions.
"""
LOCK_S = 180
"""Seconds that a statement waits for a lock: longer than the server takes to end its holder.

So a wait outlives whoever stands still, and what waits longer has another reason, which an error
then names instead of a worker that does nothing. Rounds of honest waits are seconds.
"""
_SERVER = {
    "timezone": "UTC",
    "tcp_keepalives_idle": f"{_SILENT_S}",
    "tcp_keepalives_interval": f"{_PROBE_S}",
    "tcp_keepalives_count": f"{_PROBES}",
    "tcp_user_timeout": f"{_UNHEARD_MS}",
    "idle_in_transaction_session_timeout": f"{IDLE_S}s",
    "lock_timeout": f"{LOCK_S}s",
}
SESSION: Mapping[str, object] = MappingProxyType(
    {
        "connect_timeout": 5,
        "options": " ".join(f"-c {name}={value}" for name, value in _SERVER.items()),
        "keepalives_idle": _SILENT_S,
        "keepalives_interval": _PROBE_S,
        "keepalives_count": _PROBES,
        "tcp_user_timeout": _UNHEARD_MS,
    }
)
"""Arguments of a connection. Who is not heard of for a minute, on either side, is given up."""
