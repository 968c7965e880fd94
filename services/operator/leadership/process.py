"""The operator as one of several: whether it leads, what it may do, and how it is."""

from __future__ import annotations

import os
import socket
import uuid
from dataclasses import dataclass
from pathlib import Path

from kubernetes import client

from services.kernel.errors import ConfigurationError
from services.kernel.settings import Settings
from services.operator.leadership.leader import Elector, Timing
from services.operator.leadership.lease import Alone, Fence, LeaseKeeper, LeaseStore
from services.operator.wire.http import KubeHttp, Manner

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_LONGEST_TURN_S = 300.0


@dataclass(frozen=True, slots=True)
class Office:
    """What this process may do among its like.

    Attributes:
        keeper: Keeps the Lease; None: there is no election.
    """

    fence: Fence
    keeper: LeaseKeeper | None = None


def pod_namespace(file: Path = _NAMESPACE_FILE) -> str:
    """Namespace of the pod that this process runs in; empty outside of a cluster."""
    try:
        return file.read_text().strip()
    except OSError:
        return ""


def is_elected(settings: Settings, own_namespace: str) -> bool:
    """Whether there is an election: as set, and by default where a pod's own API server is used."""
    if settings.leader_election == "auto":
        return not settings.kube_url and bool(own_namespace)
    return settings.leader_election == "on"


def make_office(
    settings: Settings, configuration: client.Configuration, own_namespace: str
) -> Office:
    """An election, or none.

    Raises:
        ConfigurationError: The times do not fit together, or the Lease has no namespace.
    """
    if not is_elected(settings, own_namespace):
        return Office(Fence(Alone()))
    namespace = settings.lease_namespace or own_namespace
    if not namespace:
        raise ConfigurationError(
            "HARMONY_LEASE_NAMESPACE='': outside of a cluster the Lease needs a namespace; name "
            "one, or set HARMONY_LEADER_ELECTION=off"
        )
    try:
        timing = Timing(
            settings.lease_duration_s, settings.lease_renew_deadline_s, settings.lease_retry_s
        )
    except ValueError as error:
        raise ConfigurationError(f"HARMONY_LEASE_…: {error}") from error
    limit_s = timing.deadline_s / 2
    http = KubeHttp(configuration, manner=Manner(limit_s, limit_s, ()))
    identity = f"{socket.gethostname()}_{os.getpid()}_{uuid.uuid4().hex[:12]}"
    keeper = LeaseKeeper(
        LeaseStore(http, namespace, settings.lease_name), Elector(identity, timing)
    )
    return Office(Fence(keeper), keeper)


@dataclass(slots=True)
class Pulse:
    """How the reconcile loop is, for the probes.

    Attributes:
        turned_at_s: Monotonic time of its last sign of life.
        is_leading: Whether its last turn was a pass.
        has_passed: Whether a pass has worked since this process began to lead.
        problem: Why the last pass did not work; empty: it did.
    """

    turned_at_s: float
    is_leading: bool = False
    has_passed: bool = False
    problem: str = ""

    def alive(self, now_s: float, interval_s: float) -> str:
        """What only a new process can help against."""
        silent_s = now_s - self.turned_at_s
        if silent_s <= _LONGEST_TURN_S + interval_s:
            return ""
        return f"the reconcile loop has not turned for {silent_s:.0f} s"

    def ready(self, now_s: float, keeper: LeaseKeeper | None) -> str:
        """Why this process cannot do its work, or take it over."""
        if self.is_leading or keeper is None:
            waiting = "" if self.has_passed else "no pass has been completed yet"
            return self.problem or waiting
        read_at_s = keeper.read_at_s
        if read_at_s is None or now_s - read_at_s > keeper.timing.duration_s:
            return "the Lease cannot be read"
        return ""
