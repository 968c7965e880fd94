"""Blocks of the joint flow: whose they are."""

from __future__ import annotations

import torch

from forecaster.config import ModelConfig
from forecaster.features import build_windows
from forecaster.network.flow import FlowCopula
from forecaster.network.joint import JointCopula
from tests.unit.forecaster.conftest import make_loaded, small_config

SIZE = ModelConfig(width=8, heads=2, flow_hidden=8, flow_context=4)


def test_a_further_load_is_one_only_where_it_is_named() -> None:
    flow = FlowCopula(4, SIZE, torch.Generator().manual_seed(0), 3)
    joint = JointCopula(flow, ("input_tps", "output_tps"))
    windows = build_windows([make_loaded(i) for i in range(3)], small_config().window)
    asked = (("output_tps", "input_tps"), ("output_tps",), ("nothing_like_it",))
    assert joint.slots(windows, asked).tolist() == [[0, 1, 2], [0, -1, 2], [0, -1, -1]]
    assert joint.slots(windows.rows([]), ()).shape == (0, 3)


def test_only_loads_with_a_block_are_known() -> None:
    joint = JointCopula(FlowCopula(4, SIZE, torch.Generator().manual_seed(0), 2), ("input_tps",))
    assert joint.knows(("input_tps",))
    assert not joint.knows(("input_tps", "output_tps"))
