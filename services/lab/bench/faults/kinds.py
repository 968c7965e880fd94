"""The kinds of fault that a schedule draws from."""

from __future__ import annotations

from dataclasses import dataclass

PROCESSES = (
    "admin",
    "ingest",
    "operator",
    "worker-pipeline",
    "worker-forecast",
    "worker-fit",
    "beat",
)
LINKS = ("database", "broker", "api_server")
"""Connections of the platform that lead through a proxy."""
API_FAULTS = (
    "conflict",
    "throttle",
    "error",
    "unauthorized",
    "forbidden",
    "slow",
    "late",
    "lists",
    "drop_watch",
    "gone",
)
LOCKED = ("table", "partition", "rows")
MISNAMED = ("database of worker-forecast", "database of operator", "broker of worker-pipeline")
DEFINED = ("slaclasses", "gpuautoscalers")
"""Definitions that are deleted. A GPUBudget that is gone is no budget: nothing to check."""
SETTLED_S = 30.0
"""Seconds after a fault in which the platform may still be catching up."""
UNASKED = "delete_definition gpuautoscalers"
"""While this is in force no workload asks for anything."""
FORGOTTEN = ("cursors", "turns", "states", "steps", "changes")
"""Rows that can be made again, which somebody deletes."""
ODD_WAYS = ("twice", "wrong_times")
SKEWED = {"worker-pipeline": 5.0, "worker-forecast": 5.0, "operator": 10.0}
"""Seconds that a skewed clock is wrong by; more than any time service leaves.

A worker that is behind closes each step so much later. An operator's is wrong by more than the
slack of the rate limits, which must not go by it.
"""


@dataclass(frozen=True, slots=True)
class FaultKind:
    """A kind of fault.

    Attributes:
        name: Its name in reports, with the target.
        act: What is done.
        target: To what.
        shortest_s: Shortest time that it is in force.
        longest_s: Longest.
    """

    name: str
    act: str
    target: str
    shortest_s: float
    longest_s: float


def _kind(act: str, target: str, shortest_s: float = 0.0, longest_s: float = 0.0) -> FaultKind:
    name = f"{act} {target}" if target else act
    return FaultKind(name, act, target, shortest_s, longest_s)


KINDS: tuple[FaultKind, ...] = (
    *(_kind("kill", name) for name in PROCESSES),
    *(_kind("pause", name, 5.0, 12.0) for name in PROCESSES),
    _kind("restart", "postgres"),
    _kind("kill", "postgres"),
    _kind("pause", "postgres", 3.0, 10.0),
    _kind("kill", "valkey"),
    _kind("flush", "valkey"),
    _kind("pause", "valkey", 3.0, 10.0),
    *(_kind("cut", link, 2.0, 8.0) for link in LINKS),
    *(_kind("delay", link, 5.0, 12.0) for link in LINKS),
    *(_kind("stall", link, 3.0, 10.0) for link in LINKS),
    *(_kind("answer", fault, 6.0, 12.0) for fault in API_FAULTS),
    _kind("pause", "cluster", 3.0, 8.0),
    _kind("lead_twice", "operator", 14.0, 18.0),
    _kind("fill_disk", "tables", 5.0, 10.0),
    _kind("fill_server_disk", "postgres", 6.0, 12.0),
    *(_kind("skew_ahead", name, 12.0, 15.0) for name in SKEWED),
    *(_kind("skew_behind", name, 12.0, 15.0) for name in SKEWED),
    _kind("poison_values", "victim", 8.0, 15.0),
    _kind("poison_spec", "victim", 8.0, 15.0),
    *(_kind("garbage_model", what, 10.0, 15.0) for what in ("bytes", "half")),
    _kind("failed_migration", "postgres", 3.0, 8.0),
    _kind("upgrade", "processes", 10.0, 15.0),
    *(_kind("lock", what, 5.0, 10.0) for what in LOCKED),
    _kind("take", "sessions", 5.0, 10.0),
    _kind("cut_short", "statements", 5.0, 10.0),
    _kind("read_only", "postgres", 5.0, 10.0),
    _kind("end_sessions", "postgres"),
    _kind("kill_backend", "postgres"),
    _kind("detach", "observations", 3.0, 6.0),
    _kind("fill_memory", "valkey", 5.0, 10.0),
    _kind("read_only", "valkey", 5.0, 10.0),
    _kind("garbage_messages", "queues"),
    _kind("delete_lease", "operator"),
    *(_kind("delete_definition", plural, 4.0, 8.0) for plural in DEFINED),
    _kind("vanish", "namespace", 6.0, 12.0),
    *(_kind("send", way, 8.0, 12.0) for way in ODD_WAYS),
    _kind("storm", "processes", 3.0, 5.0),
    _kind("run_twice", "beat", 8.0, 12.0),
    *(_kind("misname", what, 6.0, 10.0) for what in MISNAMED),
    _kind("fill_logs", "processes", 6.0, 12.0),
    _kind("sleep", "platform", 8.0, 14.0),
    *(_kind("forget", what) for what in FORGOTTEN),
    _kind("spoil", "spec"),
    _kind("expire", "partitions"),
)
