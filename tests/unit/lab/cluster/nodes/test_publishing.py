"""What pools write: the operator reads it back as it was."""

from __future__ import annotations

import pytest

from services.lab.cluster.nodes.machines import Machines
from services.lab.cluster.nodes.publishing import STATUS_NAME, STATUS_NAMESPACE, publish_groups
from services.operator.cluster.node_groups import to_node_groups
from tests.unit.lab.cluster.nodes.test_autoscaler import Lab
from tests.unit.lab.cluster.nodes.test_machines import POOL, pods


@pytest.mark.parametrize("form", ["yaml", "text"])
def test_the_status_of_node_groups_is_read_as_it_was_written(form: str) -> None:
    lab, machines = Lab(), Machines(POOL, 7)
    machines.plan(pods(3, gpus=8), 0.0)
    machines.backed_off_s = lab.cluster.engine.now_s
    for machine in machines.all:
        machine.is_there = True
    machines.look(lab.cluster.engine.now_s)
    publish_groups(lab.cluster.objects, lab.config_maps(), [machines], form)
    stored = lab.cluster.store.get(lab.config_maps(), STATUS_NAMESPACE, STATUS_NAME)
    assert stored is not None
    found = to_node_groups(stored)["hopper"]
    assert (found.most, found.nodes) == (4, 3)
    assert found.refused is not None
    assert found.refused.at.timestamp() == lab.cluster.engine.now_s
    assert found.rising_since is None


@pytest.mark.parametrize("form", ["yaml", "text"])
def test_nodes_on_their_way_are_told_of_before_a_refusal(form: str) -> None:
    lab, machines = Lab(), Machines(POOL, 7)
    began_s = lab.cluster.engine.now_s
    machines.plan(pods(3, gpus=8), 0.0)
    machines.look(began_s)
    machines.backed_off_s = began_s + 10.0
    machines.look(began_s + 10.0)
    publish_groups(lab.cluster.objects, lab.config_maps(), [machines], form)
    stored = lab.cluster.store.get(lab.config_maps(), STATUS_NAMESPACE, STATUS_NAME)
    assert stored is not None
    found = to_node_groups(stored)["hopper"]
    assert found.refused is None
    assert found.rising_since is not None
    assert found.rising_since.timestamp() == began_s


def test_a_status_that_says_nothing_new_is_not_written_again() -> None:
    lab, machines = Lab(), Machines(POOL, 7)
    machines.look(lab.cluster.engine.now_s)
    publish_groups(lab.cluster.objects, lab.config_maps(), [machines], "yaml")
    version = lab.cluster.store.version
    publish_groups(lab.cluster.objects, lab.config_maps(), [machines], "yaml")
    assert lab.cluster.store.version == version
