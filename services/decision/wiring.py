"""Dependencies of the decision service; a process makes them once."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, Engine

from decider import DecideConfig
from services.kernel.clock import Clock
from services.kernel.db.steps.kept import KeptSteps
from services.kernel.jobs import JobSender
from services.kernel.security.peers import PeerReader
from services.kernel.server_clock import shared_now
from services.kernel.settings import Settings


@dataclass(frozen=True, slots=True)
class DecisionDeps:
    """Dependencies of the use cases.

    Attributes:
        engine: Database.
        clock: Tells `now`.
        settings: Settings.
        config: Settings of the decider.
        sender: Sends jobs after commit; None: jobs are not sent.
        kept: What loads were read last, by this process.
        peers: Other databases of cells; None: nobody asks them.
    """

    engine: Engine
    clock: Clock
    settings: Settings
    config: DecideConfig = field(default_factory=DecideConfig)
    sender: JobSender | None = None
    kept: KeptSteps = field(default_factory=KeptSteps)
    peers: PeerReader | None = None

    def now(self, connection: Connection) -> datetime:
        """The time that is stored, and compared with what others stored."""
        return shared_now(connection, self.clock)
