"""Which device a fit runs on."""

from __future__ import annotations

import pytest

from services.forecasting.training.device import choose_device
from services.kernel.errors import InvalidInput


@pytest.mark.parametrize(
    ("asked", "has_cuda", "chosen"),
    [
        ("auto", True, "cuda"),
        ("auto", False, "cpu"),
        ("cpu", True, "cpu"),
        ("cpu", False, "cpu"),
        ("cuda", True, "cuda"),
    ],
)
def test_a_gpu_is_used_when_there_is_one(asked: str, has_cuda: bool, chosen: str) -> None:
    assert choose_device(asked, has_cuda=has_cuda) == chosen


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(InvalidInput, match="torch sees no GPU here"):
        choose_device("cuda", has_cuda=False)
    with pytest.raises(InvalidInput, match="device='tpu' must be auto, cpu or cuda"):
        choose_device("tpu")
