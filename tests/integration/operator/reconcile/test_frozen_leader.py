"""A leader that stands still within a transaction holds up its successor for a while only."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from sqlalchemy import text

from tests.integration.operator.conftest import Bench

pytestmark = pytest.mark.integration
LEADER = """
import sys, time
from datetime import timedelta
from services.kernel.clock import SystemClock
from services.kernel.db import session
from services.kernel.db.clusters import note_operator
from services.kernel.server_limits import IDLE_S

options = session.SESSION["options"].replace(f"{IDLE_S}s", "300ms")
session.SESSION = {**session.SESSION, "options": options}
now = SystemClock().now()
with session.unit_of_work(session.make_engine(sys.argv[1])) as work:
    note_operator(work.connection, "default", now - timedelta(seconds=30), now)
    print("in transaction", flush=True)
    sys.stdin.read()
"""


def test_the_next_leader_goes_on_without_who_stands_still(bench: Bench) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.reconcile()
    with bench.engine.begin() as connection:
        connection.execute(text("UPDATE clusters SET operator_seen_at = NULL"))
    command = [sys.executable, "-c", LEADER, bench.deps.settings.database_url]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as leader:
        assert leader.stdout is not None
        try:
            assert leader.stdout.readline().strip() == "in transaction"
            leader.send_signal(signal.SIGSTOP)
            bench.decide("llama", 7)
            bench.fresh_operator()
            bench.reconcile()
            assert bench.lab.replicas("llama") == 7
        finally:
            leader.kill()
