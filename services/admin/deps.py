"""Dependencies of the admin service."""

from __future__ import annotations

from dataclasses import dataclass

import redis
from sqlalchemy import Connection, Engine

from services.admin.sessions import SessionStore
from services.kernel.clock import Clock
from services.kernel.jobs import JobSender
from services.kernel.security.keys import KeyVerifier
from services.kernel.security.limits import Limiter
from services.kernel.security.oidc import OidcVerifier
from services.kernel.security.oidc_login import OidcLogin
from services.kernel.settings import Settings


@dataclass(frozen=True, slots=True)
class AdminDeps:
    """Servers, clocks and settings that the service works with.

    Attributes:
        engine: Database.
        redis: Sessions and the readiness check.
        settings: Settings.
        clock: Time of the data: simulated in a replay.
        wall: Time of keys and audit, always the wall clock outside tests.
        verifier: API keys.
        sessions: Console sessions.
        sender: Where jobs go.
        oidc: Tokens of the identity provider; None: there is none.
        limiter: Counts requests; None: nobody does.
        oidc_login: Logs people in at the identity provider; None: nobody does.
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

    def reading(self) -> Connection:
        """A connection for reads: each statement by itself, none to begin or to roll back."""
        return self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
