"""`harmony bench cold`: the prior for workloads that have just begun."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.output import console, print_table, write_json
from services.cli.progress import one_thread
from services.cli.study_commands import DataOption, Demand, JsonFile, Seed
from services.kernel.errors import InvalidInput

if TYPE_CHECKING:
    from forecaster import TrainedModel


def bench_cold(  # noqa: PLR0913 - one option each
    data: DataOption,
    prior: Annotated[
        Path | None, typer.Option(help="Another prior (`models pretrain`) than the shipped one.")
    ] = None,
    has_fit: Annotated[
        bool, typer.Option("--fit/--no-fit", help="Fit a model to compare with; minutes.")
    ] = True,
    max_origins: Annotated[
        int, typer.Option(min=1, help="Test windows per workload, evenly spread.")
    ] = 300,
    seed: Seed = 7,
    demand: Demand = None,
    json_file: JsonFile = None,
) -> None:
    """Forecast twelve steps from a few steps of history with what has never seen the workload.

    CRPS of the demand on the last 20 % of a trace, over its mean absolute deviation: the prior,
    the simple forecaster that answers without it, the best simple one of each workload in
    hindsight, and a model that was fitted on the first 80 %, for a workload it does not know. `all`
    shows whole windows, earlier days too; warm is the fitted model on those.
    """
    one_thread()
    from services.forecasting.registry.shipped import shipped_prior
    from services.lab.bench.forecast.cold import ColdOptions, bench_cold as run, known, table_rows
    from services.lab.bench.forecast.task import Protocol, load_task

    model = shipped_prior() if prior is None else _read_prior(prior)
    task = load_task(data, Protocol.PANEL, demand=demand, max_origins=max_origins)
    with console.status("reading") as status:
        document = run(task, ColdOptions(model, has_fit, seed), status.update)
    print_table(
        f"{document['data']}: {document['workloads']} workloads, {document['windows']} windows, "
        f"prior {document['prior']}, warm {known(document['warm'], 4)}",
        table_rows(document),
    )
    write_json(json_file, document)


def _read_prior(file: Path) -> TrainedModel:
    """The prior in a file.

    Raises:
        InvalidInput: It cannot be read, or is none.
    """
    from forecaster import CheckpointError, model_from_bytes

    try:
        return model_from_bytes(file.read_bytes())
    except (OSError, CheckpointError) as error:
        raise InvalidInput(f"--prior={file}: no prior of `models pretrain`: {error}") from error
