"""Options of the commands that ask the arena's engine: which replica, goals and lengths."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.output import read_from
from services.kernel.errors import InvalidInput
from services.kernel.settings import LARGEST_SEED
from services.operator.resource.quantities import parse_duration_s

if TYPE_CHECKING:
    from services.lab.arena.requests import LengthMix

Model = Annotated[str, typer.Option(help="Model, as its publisher spells it.")]
Gpu = Annotated[str, typer.Option(help="GPU type, as the engine's profiles spell it.")]
Engine = Annotated[str, typer.Option(help="vllm, sglang or trtllm.")]
TensorParallel = Annotated[int, typer.Option(min=1, help="GPUs of one replica.")]
Ttft = Annotated[str, typer.Option(help="Goal: time to the first token, e.g. 2s.")]
Tpot = Annotated[str, typer.Option(help="Goal: mean time between a request's tokens, e.g. 100ms.")]
RequestSeed = Annotated[
    int, typer.Option("--seed", min=0, max=LARGEST_SEED, help="Seed of arrivals and lengths.")
]
Lengths = Annotated[
    Path | None,
    typer.Option(
        callback=read_from,
        help="CSV of requests whose lengths are drawn, scaled to the means (Azure's or Mooncake's "
        "columns). Default: log-normal, as spread as Azure's conversations.",
    ),
]


def read_ms(option: str, text: str) -> float:
    """Milliseconds of an option.

    Raises:
        InvalidInput: It is no duration.
    """
    try:
        return parse_duration_s(text) * 1e3
    except ValueError as error:
        raise InvalidInput(f"{option}: {error}") from error


def chosen_mix(lengths: Path | None) -> LengthMix:
    """Lengths of a file, or the log-normal ones."""
    from services.lab.arena.requests import lognormal_mix, read_mix

    return read_mix(lengths) if lengths else lognormal_mix()
