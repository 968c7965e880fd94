"""Specifications that the engine refuses."""

from __future__ import annotations

import pytest

from services.simulator.engine.engine import StartupSpec
from tests.unit.simulator.engine.clusters import engine, spec


def test_bad_requests_are_refused_at_the_door() -> None:
    cluster = engine()
    cluster.add_deployment(spec())
    with pytest.raises(ValueError, match="replicas=-1"):
        cluster.scale("ns/a", -1)
    with pytest.raises(KeyError, match="no deployment 'ns/b'"):
        cluster.scale("ns/b", 1)
    with pytest.raises(ValueError, match="exists already"):
        cluster.add_deployment(spec())
    cluster.advance(10.0)
    with pytest.raises(ValueError, match="time never goes back"):
        cluster.advance(9.0)
    with pytest.raises(ValueError, match="has not happened yet"):
        cluster.timeline("ns/a", 0.0, 11.0)
    with pytest.raises(ValueError, match="median_s=-1"):
        StartupSpec(median_s=-1)
    with pytest.raises(ValueError, match="fail_probability"):
        StartupSpec(median_s=1, fail_probability=1.5)
