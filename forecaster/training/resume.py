"""The state of a training between two epochs as bytes, so that a killed one can go on.

The bytes are safetensors with a JSON header, like a checkpoint. They hold everything that the rest
of the training depends on apart from its input: parameters, their average, the best so far, the
optimiser's moments, the generator's state and the counters. The examples are not in them; they
are made again from the same histories and seed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
from torch import Tensor

from forecaster.config import ForecasterConfig
from forecaster.errors import CheckpointError
from forecaster.training.checkpoint import HEADER_KEY, read_header
from forecaster.training.loop import FitProgress
from forecaster.types import Series

STATE_FORMAT = "harmony-training"
STATE_VERSION = 1
_SHOWN_DIFFERENCES = 3


@dataclass(frozen=True, slots=True)
class FitIdentity:
    """Inputs that fix the result of a fit; the state of another one is refused.

    Args:
        config: Configuration, as plain values.
        seed: Seed.
        data: Digest of the histories trained on.
    """

    config: dict[str, Any]
    seed: int
    data: str


@dataclass(frozen=True, slots=True)
class TrainingState:
    """State of a training after an epoch.

    Args:
        stage: `marginals`, `flow` or `joint flow`.
        epoch: Epochs of this stage that are done.
        is_stage_over: Whether the stage ended with this epoch.
        history: Progress so far, of all stages.
        numbers: Counters and best scores of the stage.
        tensors: Parameters, moments and the generator's state, by dotted name.
    """

    stage: str
    epoch: int
    is_stage_over: bool
    history: tuple[FitProgress, ...]
    numbers: dict[str, float]
    tensors: dict[str, Tensor]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors below `prefix`, without it."""
        start = f"{prefix}."
        return {k.removeprefix(start): v for k, v in self.tensors.items() if k.startswith(start)}


def fit_identity(series: Sequence[Series], config: ForecasterConfig, seed: int) -> FitIdentity:
    """Identity of a fit of these histories."""
    plain = json.loads(json.dumps(config.to_dict()))
    return FitIdentity(plain, seed, data_digest(series))


def data_digest(series: Sequence[Series]) -> str:
    """Sixteen hex digits that name histories: every field of every series."""
    state = hashlib.blake2b(digest_size=8)
    for one in series:
        for part in fields(one):
            value = getattr(one, part.name)
            if part.name == "further" and not value:
                continue  # a state written before there were any is still of this fit
            if isinstance(value, np.ndarray):
                state.update(json.dumps([part.name, str(value.dtype), value.shape]).encode())
                state.update(np.ascontiguousarray(value).tobytes())
            else:
                state.update(json.dumps([part.name, value]).encode())
    return state.hexdigest()


def state_to_bytes(state: TrainingState, identity: FitIdentity) -> bytes:
    """Serialise a state; equal states give equal bytes."""
    header = {
        "format": STATE_FORMAT,
        "format_version": STATE_VERSION,
        "identity": asdict(identity),
        "stage": state.stage,
        "epoch": state.epoch,
        "is_stage_over": state.is_stage_over,
        "history": [asdict(line) for line in state.history],
        "numbers": state.numbers,
    }
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.tensors.items()}
    return safetensors.torch.save(tensors, {HEADER_KEY: json.dumps(header, sort_keys=True)})


def state_from_bytes(raw: bytes, identity: FitIdentity) -> TrainingState:
    """Read a state of the fit named by `identity`.

    Raises:
        CheckpointError: If the bytes are damaged, of something else, or of another fit; the
            message names what differs.
        CheckpointVersionError: If they are of another format version.
    """
    header = read_header(raw, STATE_FORMAT, STATE_VERSION)
    try:
        found = FitIdentity(**header["identity"])
        _check_same(found, identity)
        return TrainingState(
            str(header["stage"]),
            int(header["epoch"]),
            bool(header["is_stage_over"]),
            tuple(FitProgress(**line) for line in header["history"]),
            dict(header["numbers"]),
            safetensors.torch.load(raw),
        )
    except (KeyError, TypeError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"damaged state of a training: {error}") from error


def _check_same(found: FitIdentity, asked: FitIdentity) -> None:
    differences = [*_differences(found.config, asked.config)]
    if found.seed != asked.seed:
        differences.append(f"seed={found.seed}, now {asked.seed}")
    if found.data != asked.data:
        differences.append(f"data digest {found.data}, now {asked.data}")
    if differences:
        more = len(differences) - _SHOWN_DIFFERENCES
        shown = "; ".join(differences[:_SHOWN_DIFFERENCES]) + (f"; {more} more" * (more > 0))
        raise CheckpointError(
            f"this training was begun with {shown}; go on with the same, or start over"
        )


def _differences(found: Mapping[str, Any], asked: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Fields of nested configurations that differ, each with both values."""
    differences: list[str] = []
    for name in sorted({*found, *asked}):
        old, new = found.get(name, "nothing"), asked.get(name, "nothing")
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            differences += _differences(old, new, f"{prefix}{name}.")
        elif old != new:
            differences.append(f"{prefix}{name}={old}, now {new}")
    return differences
