"""The operator as one of several processes: its election, its fence, its health."""

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
from services.operator.wire.http import KubeHttp, RequestSettings

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_LONGEST_TURN_S = 300.0


@dataclass(frozen=True, slots=True)
class Election:
    """The part of this process in the election of a leader.

    Attributes:
        keeper: Keeps the Lease; None: there is no election.
    """

    fence: Fence
    keeper: LeaseKeeper | None = None

    @property
    def is_leading(self) -> bool:
        """This process acts now; without an election it always does."""
        return self.keeper is None or self.keeper.term() is not None


def pod_namespace(file: Path = _NAMESPACE_FILE) -> str:
    """Namespace of the pod that this process runs in; empty outside of a cluster."""
    try:
        return file.read_text().strip()
    except OSError:
        return ""


def has_election(settings: Settings, own_namespace: str) -> bool:
    """True where there is an election: as set, by default in a pod that uses its own API server."""
    if settings.leader_election == "auto":
        return not settings.kube_url and bool(own_namespace)
    return settings.leader_election == "on"


def make_election(
    settings: Settings, configuration: client.Configuration, own_namespace: str
) -> Election:
    """An election, or none.

    Raises:
        ConfigurationError: The times do not fit together, or the Lease has no namespace.
    """
    if not has_election(settings, own_namespace):
        return Election(Fence(Alone()))
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
    http = KubeHttp(
        configuration, request=RequestSettings(limit_s, limit_s, (), cluster=settings.cluster)
    )
    identity = f"{socket.gethostname()}_{os.getpid()}_{uuid.uuid4().hex[:12]}"
    keeper = LeaseKeeper(
        LeaseStore(http, namespace, settings.lease_name),
        Elector(identity, timing),
        cluster=settings.cluster,
    )
    return Election(Fence(keeper), keeper)


@dataclass(slots=True)
class LoopHealth:
    """Health of the reconcile loop, for the probes.

    Attributes:
        turned_at_s: Monotonic time of its last sign of life.
        is_leading: Its last turn was a pass.
        has_passed: A pass has worked since this process began to lead.
        problem: Why the last pass did not work; empty: it did.
    """

    turned_at_s: float
    is_leading: bool = False
    has_passed: bool = False
    problem: str = ""

    def alive(self, now_s: float, interval_s: float) -> str:
        """The problem that only a new process can solve; empty: there is none."""
        silent_s = now_s - self.turned_at_s
        if silent_s <= _LONGEST_TURN_S + interval_s:
            return ""
        return f"the reconcile loop has not turned for {silent_s:.0f} s"

    def ready(self, now_s: float, keeper: LeaseKeeper | None) -> str:
        """The reason why this process cannot do its work, or take it over; empty: it can."""
        if self.is_leading or keeper is None:
            waiting = "" if self.has_passed else "no pass has been completed yet"
            return self.problem or waiting
        read_at_s = keeper.read_at_s
        if read_at_s is None or now_s - read_at_s > keeper.timing.duration_s:
            return "the Lease cannot be read"
        return ""
