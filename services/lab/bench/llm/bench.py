"""The whole benchmark: traces, start-ups, policies and seeds, and the document that it makes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import Any

from services.kernel.errors import InvalidInput
from services.kernel.settings import Settings
from services.lab.arena.engine import POOLS, EngineChoice, ReplayEngine
from services.lab.arena.loop import ROUTERS
from services.lab.bench.llm.cells import Cell, cells_of
from services.lab.bench.llm.families import GOODPUTS, HARMONY
from services.lab.bench.llm.keep import RIVAL_CODE, KeptRuns, code_digest, trace_digest
from services.lab.bench.llm.race import Race, RaceTrack
from services.lab.bench.llm.rivals.capacity import WorkLaw, measure_works
from services.lab.bench.llm.runs import HARMONIES, POLICIES, RaceRun, RaceRunner, Tell
from services.lab.bench.llm.traces.load import TraceChoice, is_redrawn, load_trace
from services.lab.bench.llm.traces.trace import LlmTrace
from services.lab.bench.llm.verdict import deployed, summarise
from services.lab.bench.llm_product.servers import run_databases

MODES = tuple(POOLS)
FIRST_SEED = 7
PoolLaws = dict[str, WorkLaw]
PRIOR_GPUS = ("h100_sxm", "h200_sxm", "b200_sxm")
"""GPU types that Harmony's prior of its capacity is of: the first that does not serve, and holds
the trace's longest request."""


@dataclass(frozen=True, slots=True)
class LlmBench:
    """What is run.

    Attributes:
        traces: Which traces.
        startups_s: Seconds from asking for a worker until it is ready.
        policies: Names of `POLICIES`.
        goodputs: At which GPU-hours are compared.
        n_seeds: Seeds, from 7 on.
        model: Name of the model.
        mode: One of `MODES`.
        router: How requests find a worker.
        promises: Settings of Harmony: shares of requests that are to meet both goals.
    """

    traces: tuple[TraceChoice, ...]
    startups_s: tuple[float, ...]
    policies: tuple[str, ...]
    goodputs: tuple[float, ...]
    n_seeds: int = 1
    model: str = "Qwen/Qwen3-32B"
    mode: str = MODES[0]
    router: str = ROUTERS[0]
    promises: tuple[float, ...] = GOODPUTS

    def __post_init__(self) -> None:
        """Refuse what cannot be run, before anything is."""
        for name in self.policies:
            if name not in POLICIES:
                known = ", ".join(POLICIES)
                raise InvalidInput(f"--policies={name}: must be of {known}")
        if self.mode not in MODES:
            raise InvalidInput(f"--mode={self.mode}: must be one of {', '.join(MODES)}")
        if self.router not in ROUTERS:
            raise InvalidInput(f"--router={self.router}: must be one of {', '.join(ROUTERS)}")
        if not self.traces or not self.startups_s or not self.policies:
            raise InvalidInput("--trace, --startup and --policies must each name at least one")
        for startup_s in self.startups_s:
            if not 0 <= startup_s < float("inf"):
                raise InvalidInput(f"--startup={startup_s:g} must be >= 0")
        if not self.promises:
            raise InvalidInput("--promise must name at least one share, e.g. 0.99")
        for option, shares in (("--goodput", self.goodputs), ("--promise", self.promises)):
            for share in shares:
                if not 0 < share < 1:
                    raise InvalidInput(f"{option}={share:g} must lie in (0, 1)")

    def engine(self, gpu: str) -> EngineChoice:
        """The engine on a GPU type."""
        return EngineChoice(self.model, gpu, mode=self.mode)


def bench_llm(run: LlmBench, kept: KeptRuns, tell: Tell) -> tuple[dict[str, Any], list[Cell]]:
    """Run everything, or find it kept; the document, and the cells that tables are made of.

    Raises:
        InvalidInput: A trace is bad, a policy unknown.
        Unavailable: The engine is not installed, or has died.
    """
    # All traces are read and checked before anything is run: a bad one ends the command at once.
    loaded = [
        (choice, seed, load_trace(choice, seed))
        for choice in run.traces
        for seed in range(FIRST_SEED, FIRST_SEED + run.n_seeds)
    ]
    for _, _, trace in loaded:
        for startup_s in run.startups_s:
            trace.scored_from_s(startup_s)
    runs: list[RaceRun] = []
    about: dict[str, Any] = {}
    laws: dict[str, PoolLaws] = {}
    priors: dict[str, PoolLaws] = {}
    with ExitStack() as stack:
        databases = None
        if set(HARMONIES) & set(run.policies):
            databases = stack.enter_context(run_databases(Settings()))
        gpus = dict.fromkeys(trace.gpu for _, _, trace in loaded)
        engines = {gpu: stack.enter_context(ReplayEngine(run.engine(gpu))) for gpu in gpus}
        for _, _, trace in loaded:
            check_fits(trace, engines[trace.gpu])
        for choice, seed, trace in loaded:
            engine, name = engines[trace.gpu], choice.name
            about[trace.gpu] = dict(engine.about)
            if name not in laws:
                laws[name] = work_laws(engine, trace, kept, tell)
                if HARMONY in run.policies:
                    priors[name] = prior_laws(run, trace, kept, tell)
            race = Race(trace, seed, 0.0, laws[name], run.router, priors.get(name))
            runner = RaceRunner(RaceTrack(race, engine), kept, tell, databases, run.promises)
            runs += _races(run, runner)
    cells = cells_of(runs)
    return _document(run, cells, loaded, about, laws), cells


def check_fits(trace: LlmTrace, engine: ReplayEngine) -> None:
    """Refuse a trace with a request that no replica of this engine could hold."""
    trace.check_fits(_most_tokens(engine))


def is_held(trace: LlmTrace, engine: ReplayEngine) -> bool:
    """Whether a replica of this engine could hold each request of a trace."""
    longest = (trace.requests.input_tokens + trace.requests.output_tokens).max()
    return bool(longest <= _most_tokens(engine))


def _most_tokens(engine: ReplayEngine) -> int:
    about = engine.about
    return min(int(about["max_model_tokens"]), int(about["kv_tokens"]))


def work_laws(engine: ReplayEngine, trace: LlmTrace, kept: KeptRuns, tell: Tell) -> PoolLaws:
    """What a request costs a worker of each pool, measured or found."""
    key = {
        "law": trace_digest(trace),
        "engine": asdict(engine.choice) | dict(engine.about),
        "code": code_digest(RIVAL_CODE[:1]),
    }
    found = kept.find(key)
    if found is not None:
        return {pool: WorkLaw(**law) for pool, law in found.items()}
    tell(f"{trace.name}: what a worker carries")
    laws = measure_works(engine, trace)
    kept.keep(key, {pool: asdict(law) for pool, law in laws.items()})
    return laws


def prior_laws(run: LlmBench, trace: LlmTrace, kept: KeptRuns, tell: Tell) -> PoolLaws:
    """What a worker of another GPU type carries: what Harmony is told, and wrong.

    Raises:
        InvalidInput: None of `PRIOR_GPUS` holds the trace's longest request.
    """
    others = [gpu for gpu in PRIOR_GPUS if gpu != trace.gpu]
    for gpu in others:
        with ReplayEngine(run.engine(gpu)) as engine:
            if is_held(trace, engine):
                return work_laws(engine, trace, kept, tell)
    raise InvalidInput(
        f"{trace.name}: a request is longer than a replica on {' or '.join(others)} holds, so "
        "Harmony cannot be told a capacity that is wrong: run the policy harmony_told"
    )


def _races(run: LlmBench, runner: RaceRunner) -> Iterator[RaceRun]:
    for startup_s in run.startups_s:
        race = replace(runner.track.race, startup_s=startup_s)
        at_startup = replace(runner, track=replace(runner.track, race=race))
        for policy in run.policies:
            for setting, minutes in at_startup.run(policy):
                yield RaceRun(
                    trace=race.trace.name,
                    startup_s=startup_s,
                    gpu=race.trace.gpu,
                    mode=run.mode,
                    policy=policy,
                    setting=setting,
                    seed=race.seed,
                    minutes=minutes,
                    first_minute=race.first_minute,
                    last_minute=race.last_minute,
                    is_redrawn=is_redrawn(race.trace.name),
                )


def _document(
    run: LlmBench,
    cells: Sequence[Cell],
    loaded: Sequence[tuple[TraceChoice, int, LlmTrace]],
    engines: dict[str, Any],
    laws: dict[str, PoolLaws],
) -> dict[str, Any]:
    return {
        "runs": [one.to_json() for cell in cells for one in cell.runs],
        "summary": summarise(cells, run.goodputs),
        "deployed": deployed(cells),
        "about": {
            "model": run.model,
            "mode": run.mode,
            "router": run.router,
            "engines": engines,
            "traces": {
                f"{trace.name}, seed {seed}": {
                    "about": trace.about,
                    "requests": len(trace.requests),
                    "ttft_ms": trace.goals.ttft_ms,
                    "tpot_ms": trace.goals.tpot_ms,
                    "history": 0 if trace.history is None else len(trace.history),
                    "worker_s_per_request": {
                        pool: float(law.seconds(trace.requests).mean())
                        for pool, law in laws[choice.name].items()
                    },
                }
                for choice, seed, trace in loaded
            },
        },
    }
