"""`harmony bench ablate`: what each corrector is worth, and the tables of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli.output import console, folder, named, print_rows, read_from, write_json
from services.cli.progress import one_thread, progress
from services.cli.study_commands import DataOption, Demand, JsonFile, Risk, Seed, promises

if TYPE_CHECKING:
    from forecaster import TrainedModel
    from services.lab.bench.decide.task import DecideTask


def bench_ablate(  # noqa: PLR0913 - one option each
    data: DataOption,
    json_file: Annotated[
        Path, typer.Option("--json", callback=named, help="Write the document to this file.")
    ],
    demand: Demand = None,
    risk: Risk = "0.01,0.05",
    seed: Seed = 7,
    max_test_steps: Annotated[
        int, typer.Option(min=1, help="Most steps counted per workload, from 70 % of it on.")
    ] = 1008,
    models: Annotated[
        Path | None,
        typer.Option(
            callback=folder, help="Folder of trained forecasters: taken from there, kept there."
        ),
    ] = None,
) -> None:
    """Leave out every corrector of the decider and of the forecaster in turn.

    The split is that of `bench decide`, the prelude half as long as the counted part, and Harmony
    runs as deployed: it is told the promise and nothing is tuned. The forecaster is trained once;
    arms of it are made of its parts. `bench ablate-summary` reads the documents.
    """
    import torch

    from services.lab.bench.ablate.run import Ablation, ablate
    from services.lab.bench.decide.task import DecideOptions, load_decide_task

    epsilons = promises(risk)
    options = DecideOptions(max_test_steps, max_prelude_steps=max_test_steps // 2, seed=seed)
    task = load_decide_task(data, demand=demand, options=options)
    torch.set_num_threads(1)
    run = Ablation(task, tuple(epsilons), seed)

    def keep(document: dict[str, Any]) -> None:
        write_json(json_file, document)

    with console.status(task.forecast.data) as status:

        def tell(line: str) -> None:
            status.update(f"{task.forecast.data}: {line}")

        ablate(run, tell, keep, lambda: _model(task, seed, models, tell))


def bench_ablate_tails(  # noqa: PLR0913 - one option each
    data: DataOption,
    demand: Demand = None,
    risk: Risk = "0.001,0.005,0.01",
    seed: Seed = 7,
    max_test_steps: Annotated[
        int, typer.Option(min=1, help="Most steps counted per workload, from 70 % of it on.")
    ] = 1008,
    models: Annotated[
        Path | None,
        typer.Option(
            callback=folder, help="Folder of trained forecasters: taken from there, kept there."
        ),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Compare what is taken for the law of demand beyond the last quantile level.

    The exponential tail that Harmony decides by, and a generalised Pareto tail learned online, per
    workload and shrunk to the fleet. Coverage is that of the step that a start made now is ready
    for. Split, prelude and costs are those of `bench ablate`; decisions integrate the quantile
    function. In brackets 95 % intervals of a paired bootstrap over days and workloads.
    """
    from services.lab.bench.ablate.run import Ablation
    from services.lab.bench.ablate.tail_runs import compare_tails
    from services.lab.bench.decide.task import DecideOptions, load_decide_task

    options = DecideOptions(max_test_steps, max_prelude_steps=max_test_steps // 2, seed=seed)
    task = load_decide_task(data, demand=demand, options=options)
    one_thread()
    run = Ablation(task, tuple(promises(risk)), seed)
    with progress(task.forecast.data) as tell:
        coverage, decisions = compare_tails(run, tell, lambda: _model(task, seed, models, tell))
    print_rows(f"{task.forecast.data}: demand beyond a level", coverage, is_markdown=False)
    print_rows(f"{task.forecast.data}: as deployed", decisions, is_markdown=False)
    write_json(json_file, {"coverage": coverage, "decisions": decisions})


def _model(task: DecideTask, seed: int, folder: Path | None, tell: Any) -> TrainedModel:
    """The forecaster of the task, from the folder if it is there."""
    from forecaster import model_from_bytes, model_to_bytes
    from services.lab.bench.forecast.own_arms import ModelArm

    path = None if folder is None else folder / f"{task.forecast.data}-{seed}.model"
    if path is not None and path.exists():
        return model_from_bytes(path.read_bytes())
    model = ModelArm().fit(task.forecast, seed, tell).model
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(model_to_bytes(model))
    return model


def bench_ablate_summary(
    files: Annotated[
        list[Path], typer.Argument(callback=read_from, help="Documents of `bench ablate --json`.")
    ],
    arm: Annotated[str, typer.Option(help="One arm on every data set instead.")] = "",
    is_markdown: Annotated[bool, typer.Option("--markdown", help="For a document.")] = False,
) -> None:
    """Which correctors earn their place, over all data sets, by the rule of decision 0027.

    Every arm is compared with Harmony as deployed on the same days and workloads. Cost at its
    rate: over what Harmony costs when it is asked for a promise that brings the arm's rate. In
    brackets 95 % intervals over all sets (99 % for one set) of a paired bootstrap; after them the
    data sets on which the arm is clearly worse, and clearly better.
    """
    from services.lab.bench.ablate import report

    documents = report.load_documents(files)
    for epsilon in report.promises(documents):
        title = f"as deployed, promise {100 * epsilon:g} %"
        if arm:
            rows = report.set_rows(documents, epsilon, arm)
        else:
            rows = report.decision_rows(documents, epsilon)
        print_rows(f"{arm} {title}".strip(), rows, is_markdown)
    if not arm:
        print_rows("forecasts", report.forecast_rows(documents), is_markdown)
        print_rows("what earns its place", report.verdict_rows(documents), is_markdown)
