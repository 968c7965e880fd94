"""A sender that goes wrong in a way of its own."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from services.lab.bench.faults.acts.senders import OddSender
from services.lab.bench.faults.kinds import ODD_WAYS
from services.lab.bench.faults.outside.sender import SendingLog


@pytest.mark.parametrize("way", ODD_WAYS)
def test_it_has_bitten_once_such_a_request_was_answered(way: str) -> None:
    rig: Any = SimpleNamespace(sender=SimpleNamespace(log=SendingLog(), odd_ways=set()))
    act = OddSender(way)
    assert act.begin(rig)
    assert rig.sender.odd_ways == {way}
    assert not act.has_bitten(rig)
    rig.sender.log.odd[way] += 1
    assert act.has_bitten(rig)
    assert act.end(rig)
    assert rig.sender.odd_ways == set()
