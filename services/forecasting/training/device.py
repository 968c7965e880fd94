"""Choice of the device that torch trains on: the GPU that this machine has, else the CPU."""

from __future__ import annotations

import torch

from services.kernel.errors import InvalidInput

AUTO, CPU, CUDA = "auto", "cpu", "cuda"


def choose_device(asked: str, *, has_cuda: bool | None = None) -> str:
    """The device to train on.

    Args:
        asked: `auto` (a GPU when there is one), `cpu` or `cuda`.
        has_cuda: Whether torch sees a GPU; asked of torch when not given.

    Raises:
        InvalidInput: An unknown name, or `cuda` where there is none.
    """
    if asked not in (AUTO, CPU, CUDA):
        raise InvalidInput(f"device={asked!r} must be {AUTO}, {CPU} or {CUDA}")
    if asked == CPU:
        return CPU
    found = torch.cuda.is_available() if has_cuda is None else has_cuda
    if asked == CUDA and not found:
        raise InvalidInput(f"device={CUDA!r}: torch sees no GPU here; {AUTO} or {CPU} is right")
    return CUDA if found else CPU
