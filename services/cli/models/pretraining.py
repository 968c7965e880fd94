"""Training of the prior from the command line, and its card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from forecaster import (
    CheckpointError,
    FitProgress,
    PriorResult,
    Series,
    fit_prior,
    made_up_demand,
    model_to_bytes,
    prior_config,
    trace_views,
)
from services.cli.models.training import interruptible, progress_shown, read_state
from services.forecasting.registry.shipped import CARD_FILE, PRIOR_FILE
from services.forecasting.training.device import choose_device
from services.forecasting.training.fit import progress_of
from services.kernel.errors import InvalidInput
from services.kernel.settings import get_settings
from services.kernel.whole_files import write_whole
from services.lab.bench.forecast.task import Protocol, load_task

SEED = 180_400
N_MADE_UP = 2_500
"""Made-up histories."""
EPOCHS = 80
"""Passes of the shipped prior; its learning rate falls over the last of them."""
TRACES: Mapping[str, str] = {
    "azure_v2_fleet": "CC-BY-4.0",
    "azure_vm_arrivals": "CC-BY-4.0",
    "cloud_pools": "Apache-2.0",
    "helios_earth_vc": "MIT (artifact), CC-BY-4.0 (trace)",
    "nab_cloudwatch": "MIT",
    "philly_nodes": "MIT (artifact), CC-BY-4.0 (trace)",
    "worldcup98": "MIT",
}
"""Public traces that the prior learns from, with their licence.

Left out: what it is judged by (ServeGen), and every trace whose licence is not one of Apache-2.0,
CC-BY and MIT, or is in doubt.
"""


@dataclass(frozen=True, slots=True)
class Pretraining:
    """What a prior is trained on.

    Attributes:
        out: Folder that the prior and its card are written to.
        traces: Folder of the public traces.
        n_made_up: Made-up histories.
        epochs: Passes, of the schedule's.
        seed: Seed of everything random.
    """

    out: Path
    traces: Path
    n_made_up: int = N_MADE_UP
    epochs: int = EPOCHS
    seed: int = SEED


def train_prior(asked: Pretraining, device: str, *, is_resumed: bool) -> dict[str, Any]:
    """Train a prior from nothing, or from where an earlier training was stopped.

    Raises:
        InvalidInput: A folder, a trace, the state to go on from or the device cannot be used.
    """
    torch.set_num_threads(get_settings().torch_threads)
    chosen = choose_device(device)
    if not asked.out.is_dir():
        raise InvalidInput(f"--out={asked.out} is no folder; one that exists is right")
    file = asked.out / PRIOR_FILE
    state_file = file.with_name(f"{PRIOR_FILE}.state")
    state = read_state(state_file) if is_resumed else None
    config = prior_config()
    if not is_resumed:
        state_file.unlink(missing_ok=True)  # of an older training, which this one replaces

    def hint() -> str:
        if not state_file.exists():
            return "nothing was kept, as the first epoch had not ended"
        return f"{state_file} keeps the last whole epoch; go on with `{_command(asked)} --resume`"

    with interruptible(hint), progress_shown() as report:
        report("made-up demand and traces", 0.0)
        traces = _views(asked.traces)  # first: what is missing there is told at once
        made_up = made_up_demand(asked.n_made_up, asked.seed)

        def tell(line: FitProgress) -> None:
            report(*progress_of(line))

        try:
            result = fit_prior(
                made_up,
                traces,
                config,
                asked.seed,
                n_epochs=asked.epochs,
                on_progress=tell,
                resume=state,
                on_checkpoint=lambda raw: write_whole(state_file, raw),
                device=chosen,
            )
        except CheckpointError as error:
            raise InvalidInput(f"--resume: {state_file}: {error}") from error
    raw = model_to_bytes(result.model)
    card = card_of(result, len(raw), asked)
    write_whole(file, raw)
    write_whole(file.with_name(CARD_FILE), f"{json.dumps(card, indent=2)}\n".encode())
    state_file.unlink(missing_ok=True)
    return card


def card_of(result: PriorResult, n_bytes: int, asked: Pretraining) -> dict[str, Any]:
    """The card of a prior: everything that says what it is, in plain values."""
    train = result.model.config.train
    return {
        "version": result.model.version,
        "n_parameters": result.model.n_parameters,
        "n_bytes": n_bytes,
        "seed": asked.seed,
        "n_made_up": result.n_series["synthetic"],
        "n_trace_views": result.n_series["traces"],
        "traces": dict(TRACES),
        "epochs": asked.epochs,
        "epochs_of_schedule": train.epochs,
        "windows_per_epoch": train.max_windows,
        "fewest_steps": train.shortest,
        "licence": "Apache-2.0",
        "command": f"harmony models pretrain --epochs {asked.epochs} --seed {asked.seed}",
    }


def _command(asked: Pretraining) -> str:
    where = f"--traces {asked.traces} --out {asked.out}"
    return f"harmony models pretrain {where} --epochs {asked.epochs} --seed {asked.seed}"


def _views(folder: Path) -> list[Series]:
    """Every indicator of every trace, in several step lengths; the first 70 % of each."""
    found: list[Series] = []
    for name in TRACES:
        file = folder / f"{name}.parquet"
        if not file.is_file():
            raise InvalidInput(f"--traces={folder}: {file.name} is not there (docs/prior.md)")
        task = load_task(file, Protocol.PANEL)
        found += [
            replace(view, workload=f"{name}/{view.workload}") for view in trace_views(task.series)
        ]
    return found
