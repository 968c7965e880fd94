"""Dependencies of the admin service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

import redis
from sqlalchemy import Connection, Engine

from services.admin.clusters import KnownClusters, RequestCell
from services.admin.sessions import SessionStore
from services.kernel.clock import Clock
from services.kernel.db.clusters import narrow
from services.kernel.db.session import UnitOfWork, unit_of_work
from services.kernel.jobs import JobSender
from services.kernel.security.keys import KeyVerifier
from services.kernel.security.limits import Limiter
from services.kernel.security.oidc import OidcVerifier
from services.kernel.security.oidc_login import OidcLogin
from services.kernel.security.peers import PeerReader
from services.kernel.settings import Settings


class ReadDeps(Protocol):
    """Dependencies of what only reads: `AdminDeps`, or a command's own on the database."""

    @property
    def clock(self) -> Clock:
        """Time of the data."""
        ...

    def reading(self) -> Connection:
        """A connection for reads."""
        ...


@dataclass(frozen=True, slots=True)
class AdminDeps:
    """Servers, clocks and settings that the service works with.

    Attributes:
        engine: Database.
        redis: Sessions, and what `/readyz` says of it.
        settings: Settings.
        clock: Time of the data: simulated in a replay.
        wall: Time of keys and audit, always the wall clock outside tests.
        verifier: API keys.
        sessions: Console sessions.
        sender: Where jobs go.
        oidc: Tokens of the identity provider; None: there is none.
        limiter: Counts requests; None: nobody does.
        oidc_login: Logs people in at the identity provider; None: nobody does.
        clusters: Which there are; None: nobody asks, there is one.
        cell: The cluster of the request that these are for.
        peers: Other databases of cells; None: nobody asks them.
    """

    engine: Engine
    redis: redis.Redis
    settings: Settings
    clock: Clock
    wall: Clock
    verifier: KeyVerifier
    sessions: SessionStore
    sender: JobSender
    oidc: OidcVerifier | None = None
    limiter: Limiter | None = None
    oidc_login: OidcLogin | None = None
    clusters: KnownClusters | None = None
    cell: RequestCell = field(default_factory=RequestCell)
    peers: PeerReader | None = None

    def reading(self) -> Connection:
        """A connection for reads of the request's cluster.

        While that is the only one each statement is by itself, with none to begin or to roll back.
        """
        connection = self.engine.connect()
        if self.cell.name is None:
            return connection.execution_options(isolation_level="AUTOCOMMIT")
        try:
            narrow(connection, self.cell.name)
        except BaseException:
            connection.close()
            raise
        return connection

    @property
    def cluster_names(self) -> tuple[str, ...]:
        """All clusters, the oldest first; none where nobody asks."""
        return () if self.clusters is None else self.clusters.names()

    def by_cluster(self) -> list[AdminDeps]:
        """Dependencies for each cluster that the request sees."""
        names = self.cluster_names
        if self.cell.name is not None or len(names) < 2:
            return [self]
        return [replace(self, cell=RequestCell(name)) for name in names]

    @property
    def cluster(self) -> str:
        """Name of the one cluster that is seen; empty where it is not known."""
        names = self.cluster_names
        return self.cell.name or (names[0] if len(names) == 1 else "")

    @contextmanager
    def writing(self) -> Iterator[UnitOfWork]:
        """A transaction that writes to the request's cluster."""
        with unit_of_work(self.engine) as work:
            if self.cell.name is not None:
                narrow(work.connection, self.cell.name)
            yield work
