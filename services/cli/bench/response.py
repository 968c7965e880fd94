"""`harmony bench response`: how an engine's misses follow its loads; the table that tells it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from services.cli.engine_options import (
    Engine,
    Gpu,
    Lengths,
    Model,
    TensorParallel,
    Tpot,
    Ttft,
    chosen_mix,
    read_ms,
)
from services.cli.output import console, named, print_table, read_from, write_json
from services.cli.progress import progress
from services.cli.study_commands import JsonFile, Seed
from services.kernel.errors import InvalidInput
from services.operator.resource.quantities import format_duration


def read_means(option: str, text: str) -> tuple[float, ...]:
    """Mean lengths, comma-separated.

    Raises:
        InvalidInput: One is no number of at least 1.
    """
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or any(not 1 <= value <= 16_000 for value in found):
        raise InvalidInput(f"{option}={text}: must be numbers of 1 to 16000, comma-separated")
    return found


def bench_response_table(  # noqa: PLR0913 - one option each
    file: Annotated[
        Path, typer.Argument(callback=named, help="Where to write it (.npz; beside it a .json).")
    ],
    model: Model = "Qwen/Qwen3-32B",
    gpu: Gpu = "a100_sxm",
    engine: Engine = "vllm",
    tensor_parallel: TensorParallel = 1,
    ttft: Ttft = "2s",
    tpot: Tpot = "100ms",
    inputs: Annotated[
        str, typer.Option(help="Mean lengths of prompts, comma-separated.")
    ] = "236,329,458,639,890,1241",
    outputs: Annotated[
        str, typer.Option(help="Mean lengths of answers, comma-separated.")
    ] = "21,35,57,94,155,254",
    pooled: Annotated[
        int, typer.Option(min=0, help="Pairs of lengths that four replicas serve once more.")
    ] = 6,
    lengths: Lengths = None,
    seed: Seed = 7,
    processes: Annotated[int, typer.Option(min=1, help="Engines at work at once.")] = 2,
) -> None:
    """Serve a grid of loads on one replica of a real engine's profile and keep what missed.

    Every mean length of prompt meets every one of answer, each at ten rates from 0.3 to 2 times the
    largest that misses at most 5 % more than requests alone; six pairs of lengths once more with
    four replicas. Poisson arrivals, 2 minutes to warm up, 15 counted. By default the lengths span
    the 5th to the 95th percentile of the means of ten minutes of ServeGen's m-large. Needs `make
    arena`; the same seed gives the same table.
    """
    from services.lab.arena.engine import EngineChoice
    from services.lab.arena.goals import RequestGoals
    from services.lab.arena.make_table import TableGrid, TableMaker

    goals = RequestGoals(read_ms("--ttft", ttft), read_ms("--tpot", tpot))
    grid = TableGrid(
        read_means("--inputs", inputs),
        read_means("--outputs", outputs),
        n_pooled=pooled,
        seed=seed,
    )
    mix = chosen_mix(lengths)
    choice = EngineChoice(model, gpu, engine, tensor_parallel)
    command = (
        f"harmony bench response-table {file.name} --model {model} --gpu {gpu} --engine {engine} "
        f"--tensor-parallel {tensor_parallel} --ttft {format_duration(goals.ttft_ms / 1e3)} "
        f"--tpot {format_duration(goals.tpot_ms / 1e3)} --inputs {inputs} --outputs {outputs} "
        f"--pooled {pooled} {f'--lengths {lengths.name} ' if lengths else ''}--seed {seed}"
    )
    with progress() as tell:
        table = TableMaker(choice, goals, mix, tell).make(grid, processes, command)
    table.save(file.with_suffix(".npz"))
    console.print(f"{len(table)} points in {file.with_suffix('.npz')}")


def bench_response(
    table: Annotated[
        Path, typer.Option(callback=read_from, help="A table of `bench response-table`.")
    ],
    seed: Seed = 7,
    json_file: JsonFile = None,
) -> None:
    """How well the response that Harmony decides by describes a real engine.

    It is fitted to half of a table's points of one replica and judged by the others, three
    times: by single loads, and by several at once; all points, then those that miss 20 % at most.
    Near: they miss 1 to 5 %. docs/benchmarks/response.md explains the figures.
    """
    from services.lab.arena.response_report import response_report
    from services.lab.arena.table import ResponseTable

    found = response_report(ResponseTable.load(table), seed)
    for part, one in found["parts"].items():
        title = f"{table.stem}, {part}: {one['points']} points, {one['points_near']} near"
        print_table(title, [_shown(arm) for arm in one["arms"]])
    minutes, pooled = found["minutes"], found["pooled"]
    console.print(
        f"Single minutes of points that miss 1 to 5 %: standard deviation "
        f"{minutes['standard_deviation']:.2%}, {minutes['of_independent_requests']:.2%} if each "
        "request missed by itself.",
        soft_wrap=True,
    )
    if pooled:
        console.print(
            f"{pooled['replicas']} replicas, {pooled['points_near']} points where the response of "
            f"one expects 1 to 5 %: expected {pooled['expected_near']:.2%}, missed "
            f"{pooled['missed_near']:.2%}.",
            soft_wrap=True,
        )
    write_json(json_file, found)


def _shown(arm: dict[str, Any]) -> dict[str, str]:
    def joined(name: str, form: str) -> str:
        values = [one[name] for one in arm["responses"]]
        return ", ".join("–" if value is None else format(value, form) for value in values)

    return {
        "response of": arm["arm"],
        "mean error": f"{arm['mae']:.1%}",
        "explained": f"{arm['explained']:.2f}",
        "error near": f"{arm['mae_near']:.1%}",
        "bias near": f"{arm['bias_near']:+.1%}",
        "sharing": joined("sharing", ".2g"),
        "slope": joined("slope", ".1f"),
        "floor": joined("floor", ".2%"),
    }
