"""What adds nodes, before anything was read."""

from __future__ import annotations

from services.operator.cluster.node_sources import SeenSources


def test_what_was_not_looked_for_is_off_and_empty() -> None:
    seen = SeenSources()
    assert not seen.is_on
    assert (seen.pools, seen.claims, seen.problems) == ((), (), ())
    assert seen.groups == {}


def test_what_could_not_be_read_is_not_empty() -> None:
    assert SeenSources(True, None, groups=None).pools is None
