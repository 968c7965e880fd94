"""`harmony bench llm`: every policy on a real engine's profile, judged by what requests feel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli.engine_options import Model, read_ms
from services.cli.output import console, folder, named, picture, print_rows, write_json
from services.cli.platform_commands import DemoPort
from services.cli.progress import progress
from services.cli.study_commands import JsonFile, Seed
from services.kernel.errors import InvalidInput
from services.kernel.settings import get_settings
from services.operator.resource.quantities import parse_duration_s

if TYPE_CHECKING:
    from services.lab.arena.goals import RequestGoals
    from services.lab.bench.llm.bench import LlmBench
    from services.lab.bench.llm.cells import Cell
    from services.lab.bench.llm.keep import KeptRuns
    from services.lab.bench.llm.traces.load import TraceChoice

DataDir = Annotated[
    Path | None,
    typer.Option(envvar="HARMONY_DATA_DIR", help="Folder of the public traces (docs/traces.md)."),
]
Rate = Annotated[
    float, typer.Option(help="What the traces' usual rates of requests are multiplied by.")
]
Trace = Annotated[
    str,
    typer.Option(
        help="Comma-separated: azure, mooncake, servegen, stationary, ramp, burst, level, day, "
        "or files of `bench llm-trace`'s format."
    ),
]
Startup = Annotated[str, typer.Option(help="Start-ups of a worker, comma-separated, e.g. 60s,3m.")]
Policies = Annotated[
    str, typer.Option(help="Policies, comma-separated; `all` stands for every one.")
]
Goodput = Annotated[
    str, typer.Option(help="Shares of requests that meet both goals, comma-separated.")
]
Promise = Annotated[
    str | None,
    typer.Option(
        help="Promises that Harmony runs at, comma-separated; default: the eight of its grid."
    ),
]
OwnGpu = Annotated[str | None, typer.Option(help="GPU type; default: the trace's own.")]
OwnTtft = Annotated[
    str | None, typer.Option(help="Goal: time to the first token; default: the trace's own.")
]
OwnTpot = Annotated[
    str | None, typer.Option(help="Goal: mean time between tokens; default: the trace's own.")
]
Mode = Annotated[
    str,
    typer.Option(
        help="aggregated, or disaggregated: prefill and decode have workers of their own."
    ),
]
Router = Annotated[str, typer.Option(help="round_robin or kv_router.")]
Prefixes = Annotated[
    int,
    typer.Option(
        help="Let each prompt begin with one of that many texts of 1,024 tokens, which caches of "
        "an engine share; 0: as in the trace."
    ),
]
Seeds = Annotated[int, typer.Option(min=1, help="How many seeds, from 7 on.")]
Keep = Annotated[
    Path | None, typer.Option(callback=folder, help="Folder of runs: found there, kept there.")
]
Detail = Annotated[bool, typer.Option("--detail", help="Every setting of every policy, too.")]
Serve = Annotated[
    bool,
    typer.Option(
        "--serve",
        help="Run Harmony once, on the first trace and start-up at a promise of the last goodput, "
        "and serve API and console meanwhile and until Ctrl-C.",
    ),
]
Plot = Annotated[
    Path | None, typer.Option(callback=picture, help="Write the frontiers to this PNG.")
]


@dataclass(frozen=True, slots=True)
class TraceOwn:
    """What replaces the traces' own; None: it stands.

    Attributes:
        data_dir: Folder of the public traces.
        rate: What their usual rates are multiplied by.
        gpu: GPU type.
        goals: What a request is promised.
        prefixes: Texts that prompts begin with.
    """

    data_dir: Path | None
    rate: float
    gpu: str | None
    goals: RequestGoals | None
    prefixes: int

    def choice(self, name: str) -> TraceChoice:
        """Of one trace."""
        from services.lab.bench.llm.traces.load import TraceChoice

        return TraceChoice(name, self.data_dir, self.rate, self.gpu, self.goals, self.prefixes)


def bench_llm(  # noqa: PLR0913 - one option each
    trace: Trace = "azure,mooncake",
    startup: Startup = "60s",
    policies: Policies = "all",
    goodput: Goodput = "0.95,0.97,0.99",
    promise: Promise = None,
    gpu: OwnGpu = None,
    model: Model = "Qwen/Qwen3-32B",
    mode: Mode = "aggregated",
    router: Router = "round_robin",
    ttft: OwnTtft = None,
    tpot: OwnTpot = None,
    rate: Rate = 1.0,
    prefixes: Prefixes = 0,
    seeds: Seeds = 1,
    data_dir: DataDir = None,
    keep: Keep = None,
    is_markdown: Annotated[bool, typer.Option("--markdown", help="For a document.")] = False,
    is_detailed: Detail = False,
    json_file: JsonFile = None,
    plot: Plot = None,
    is_served: Serve = False,
    port: DemoPort = 8080,
) -> None:
    """Scale a replayed service by every policy, and count GPU-hours at an equal goodput.

    One engine, one clock: requests of a trace are served on the GPU-free engine of `make arena`;
    workers start after the cold start asked for, and drain. Goodput is the share of the requests
    that met both goals; GPU-hours count workers that start, serve or drain. A warm-up is left out.
    Each policy runs at the eight settings of its grid; its frontier says what a goodput takes.
    Simple rivals count by what earlier data chose, against Harmony's promise, and in hindsight.
    docs/benchmarks/llm.md has the figures.
    """
    from services.lab.bench.llm.bench import LlmBench, bench_llm as run
    from services.lab.bench.llm.keep import KeptRuns
    from services.lab.bench.llm.plot import plot_cells
    from services.lab.bench.llm.runs import POLICIES

    own = TraceOwn(data_dir, rate, gpu, own_goals(ttft, tpot), prefixes)
    names = parts(policies)
    bench = LlmBench(
        traces=tuple(own.choice(name) for name in parts(trace)),
        startups_s=tuple(_seconds(text) for text in parts(startup)),
        policies=POLICIES if names == ["all"] else tuple(names),
        goodputs=_shares("--goodput", goodput),
        promises=_promises(promise),
        n_seeds=seeds,
        model=model,
        mode=mode,
        router=router,
    )
    if is_served:
        _serve(bench, KeptRuns(keep), port, {"--json": json_file, "--plot": plot})
        return
    with progress() as tell:
        document, cells = run(bench, KeptRuns(keep), tell)
    _print(document, cells, bench.goodputs, is_detailed=is_detailed, is_markdown=is_markdown)
    write_json(json_file, document)
    if plot is not None:
        plot_cells(cells, bench.goodputs, plot)


def _serve(bench: LlmBench, kept: KeptRuns, port: int, files: dict[str, Path | None]) -> None:
    from services.lab.bench.llm.serve import serve_llm

    for option, path in files.items():
        if path is not None:
            raise InvalidInput(f"--serve: writes no {option}; run the command without --serve")
    settings = get_settings().model_copy(update={"port": port})
    serve_llm(bench, kept, settings, lambda text: console.print(text, soft_wrap=True), console)


def bench_llm_trace(
    name: Annotated[str, typer.Argument(help="A trace of `bench llm`.")],
    file: Annotated[Path, typer.Argument(callback=named, help="Where to write it (.jsonl).")],
    rate: Rate = 1.0,
    seed: Seed = 7,
    data_dir: DataDir = None,
) -> None:
    """Write a trace of requests in the engine's format, one JSON object a line.

    `timestamp` in milliseconds, `input_length`, `output_length`, `hash_ids` (no two requests share
    a prefix). The same seed gives the same file.
    """
    from services.lab.bench.llm.traces.load import TraceChoice, load_trace
    from services.lab.bench.llm.traces.trace_file import write_requests

    found = load_trace(TraceChoice(name, data_dir, rate), seed)
    write_requests(file, found.requests)
    console.print(
        f"{len(found.requests)} requests of {found.until_s / 60.0:.0f} min in {file}: "
        f"{found.about}",
        soft_wrap=True,
    )


def parts(text: str) -> list[str]:
    """What is comma-separated."""
    return [one.strip() for one in text.split(",") if one.strip()]


def own_goals(ttft: str | None, tpot: str | None) -> RequestGoals | None:
    """Goals that replace the trace's own; None: they stand.

    Raises:
        InvalidInput: Only one is given, or one is no duration.
    """
    from services.lab.arena.goals import RequestGoals

    if ttft is None and tpot is None:
        return None
    if ttft is None or tpot is None:
        raise InvalidInput("--ttft and --tpot: give both or neither")
    return RequestGoals(read_ms("--ttft", ttft), read_ms("--tpot", tpot))


def _seconds(text: str) -> float:
    try:
        return parse_duration_s(text)
    except ValueError as error:
        raise InvalidInput(f"--startup: {error}") from error


def _promises(text: str | None) -> tuple[float, ...]:
    from services.lab.bench.llm.families import GOODPUTS

    return GOODPUTS if text is None else _shares("--promise", text)


def _shares(option: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(one) for one in parts(text))
    except ValueError as error:
        raise InvalidInput(f"{option}={text}: must be shares, comma-separated") from error


def _print(
    document: dict[str, Any],
    cells: list[Cell],
    goodputs: tuple[float, ...],
    *,
    is_detailed: bool,
    is_markdown: bool,
) -> None:
    from services.lab.bench.llm import report

    for cell in cells:
        rows = report.frontier_rows(cell, goodputs)
        print_rows(f"{report.title(cell)}: GPU-hours (over the oracle's)", rows, is_markdown)
        if is_detailed:
            print_rows("every setting", report.setting_rows(cell), is_markdown)
        if promised := report.deployed_rows(cell):
            print_rows("as deployed", promised, is_markdown)
    if rows := report.promise_rows(document["deployed"]):
        print_rows("promised 99 %, pooled over seeds", rows, is_markdown)
    for goodput, found in document["summary"].items():
        if rows := report.chosen_rows(found):
            print_rows(f"simple rival chosen on earlier data for {goodput}", rows, is_markdown)
    print_rows(
        "over traces, each weighing once", report.summary_rows(document["summary"]), is_markdown
    )
