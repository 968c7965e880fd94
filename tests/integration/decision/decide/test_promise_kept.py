"""The promise kept by what is measured: a closed loop through Postgres, against a known truth."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from sqlalchemy import text

from services.decision.decide import service
from services.decision.wiring import DecisionDeps
from tests.integration.decision.measured_loop import OBJECTIVE, Loop, Looped, truth

pytestmark = pytest.mark.integration


def day(t: int) -> float:
    return 100.0 * (1.0 + 0.3 * math.sin(2.0 * math.pi * t / 40.0))


def bad_share(one: Looped, last: int = 40) -> float:
    return float(np.mean(one.is_bad[-last:]))


def test_x(deps: DecisionDeps) -> None:
    loop = Loop(deps, day)
    stated = {"per_replica": 12.5}
    promise = {"kind": "TimeFraction", "epsilon": 0.05}
    one = loop.add("measured", truth(10.0), capacity=stated, sla=promise | {"objective": OBJECTIVE})
    other = loop.add("believed", truth(10.0), capacity=stated, sla=promise)
    a = time.time()
    loop.run(80)
    print("s", time.time() - a)
    print([ (c, int(b), d, int(e)) for c, b, d, e in zip(one.counts, one.is_bad, other.counts, other.is_bad)])
    print(bad_share(one), bad_share(other))
    with deps.engine.connect() as c:
        for r in c.execute(text("select n_observations, summary, fitted_at from posteriors")): print(r)
        for r in c.execute(text("select state from risk_states")): print(r)
        ids = [r[0] for r in c.execute(text("select id from decisions order by id desc limit 6"))]
        for r in c.execute(text("select explanation->>'summary', rung from decisions where workload_id=1 order by id")).fetchall()[::8]: print(r)
    for i in ids:
        assert service.replay(loop.deps, i).is_identical
    assert 0
