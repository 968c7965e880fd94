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
from services.lab.bench.llm.entrants import harmony_setup
from services.lab.bench.llm.families import GOODPUTS, HARMONY, HARMONY_TOLD
from services.lab.bench.llm.keep import RIVAL_CODE, KeptRuns, code_digest, trace_digest
from services.lab.bench.llm.race import Race, RaceTrack
from services.lab.bench.llm.rivals.capacity import WorkLaw, measure_works
from services.lab.bench.llm.runs import HARMONIES, POLICIES, RaceRun, RaceRunner, Tell
from services.lab.bench.llm.traces.load import TraceChoice, is_redrawn, load_trace
from services.lab.bench.llm.traces.trace import LlmTrace
from services.lab.bench.llm.verdict import deployed, summarise
from services.lab.bench.llm_product.servers import run_databases
from services.lab.bench.llm_product.setup import workload_spec

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
        for option, shares in (("--goodput", self.goodputs), ("--promise", self.promises)):
            if not shares:
                raise InvalidInput(f"{option} must name at least one share, e.g. 0.99")
            for share in shares:
                if not 0 < share < 1:
                    raise InvalidInput(f"{option}={share:g} must lie in (0, 1)")
        self._check_once("--trace", [choice.label for choice in self.traces])
        self._check_once("--startup", [f"{startup_s:g}s" for startup_s in self.startups_s])
        self._check_once("--policies", self.policies)
        self._check_once("--goodput", [f"{share:g}" for share in self.goodputs])
        self._check_once("--promise", [f"{share:g}" for share in self.promises])

    @staticmethod
    def _check_once(option: str, names: Sequence[str]) -> None:
        """What is named twice would be pooled with itself, and two traces of one name together."""
        for name in names:
            if names.count(name) > 1:
                raise InvalidInput(f"{option}: {name} is named twice, must be once")

    def engine(self, gpu: str) -> EngineChoice:
        """The engine on a GPU type."""
        return EngineChoice(self.model, gpu, mode=self.mode)


def bench_llm(run: LlmBench, kept: KeptRuns, tell: Tell) -> tuple[dict[str, Any], list[Cell]]:
    """Run everything, or find it kept; the document, and the cells that tables are made of.

    Raises:
        InvalidInput: A trace is bad, a policy unknown.
        Unavailable: The engine is not installed, or has died.
    """
    # All is read, measured and checked before anything is run: a bad trace ends it at once.
    loaded = [
        (choice, seed, load_trace(choice, seed))
        for choice in run.traces
        for seed in range(FIRST_SEED, FIRST_SEED + run.n_seeds)
    ]
    for _, _, trace in loaded:
        for startup_s in run.startups_s:
            trace.scored_minutes(startup_s)
    runs: list[RaceRun] = []
    known: dict[str, ToldLaws] = {}
    with ExitStack() as stack:
        databases = None
        if set(HARMONIES) & set(run.policies):
            databases = stack.enter_context(run_databases(Settings()))
        gpus = dict.fromkeys(trace.gpu for _, _, trace in loaded)
        engines = {gpu: stack.enter_context(ReplayEngine(run.engine(gpu))) for gpu in gpus}
        about = {gpu: dict(engine.about) for gpu, engine in engines.items()}
        for _, _, trace in loaded:
            check_fits(trace, engines[trace.gpu])
            for startup_s in run.startups_s:
                trace.check_halves(startup_s)
        for choice, _, trace in loaded:
            if choice.name not in known:
                known[choice.name] = told_laws(run, engines[trace.gpu], trace, kept, tell)
        races = [_race(run, known[choice.name], trace, seed) for choice, seed, trace in loaded]
        for race in races:
            check_stated(run, race)
        for race, (choice, _, trace) in zip(races, loaded, strict=True):
            track = RaceTrack(race, engines[trace.gpu])
            runner = RaceRunner(track, kept, tell, databases, run.promises)
            runs += _races(run, runner, is_redrawn(choice.name))
    cells = cells_of(runs)
    laws = {name: one.laws for name, one in known.items()}
    return _document(run, cells, loaded, about, laws), cells


@dataclass(frozen=True, slots=True)
class ToldLaws:
    """What a request costs a worker of each pool, as some are told it.

    Attributes:
        laws: By all requests of the trace: for rivals.
        priors: On another GPU type, by requests before any that is scored; None: none is needed.
        told: On its own, by the same requests; None: none is needed.
    """

    laws: PoolLaws
    priors: PoolLaws | None = None
    told: PoolLaws | None = None


def told_laws(
    run: LlmBench, engine: ReplayEngine, trace: LlmTrace, kept: KeptRuns, tell: Tell
) -> ToldLaws:
    """What the policies of a run are told of a trace's engine.

    Raises:
        InvalidInput: See `prior_laws`; or requests miss their goals at any rate.
    """
    has_prior, is_told = HARMONY in run.policies, HARMONY_TOLD in run.policies
    return ToldLaws(
        work_laws(engine, trace, kept, tell),
        prior_laws(run, trace, kept, tell) if has_prior else None,
        work_laws(engine, trace.before, kept, tell) if is_told else None,
    )


def _race(run: LlmBench, known: ToldLaws, trace: LlmTrace, seed: int) -> Race:
    return Race(trace, seed, 0.0, known.laws, run.router, known.priors, known.told)


def check_stated(run: LlmBench, race: Race) -> None:
    """Refuse what no workload of Harmony's could be made of, such as a goal below every bucket."""
    for laws in filter(None, (race.priors, race.told)):
        for startup_s in run.startups_s:
            at_startup = replace(race, startup_s=startup_s)
            workload_spec(harmony_setup(at_startup, run.promises[0], laws))


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
        "code": code_digest(RIVAL_CODE),
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

    By the requests before any that is scored: of those to come no service knows how long they are.

    Raises:
        InvalidInput: None of `PRIOR_GPUS` holds the trace's longest request.
    """
    others = [gpu for gpu in PRIOR_GPUS if gpu != trace.gpu]
    for gpu in others:
        with ReplayEngine(run.engine(gpu)) as engine:
            if is_held(trace, engine):
                return work_laws(engine, trace.before, kept, tell)
    raise InvalidInput(
        f"{trace.name}: a request is longer than a replica on {' or '.join(others)} holds, so "
        "Harmony cannot be told a capacity that is wrong: run the policy harmony_told"
    )


def _races(run: LlmBench, runner: RaceRunner, is_redrawn: bool) -> Iterator[RaceRun]:
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
                    is_redrawn=is_redrawn,
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
