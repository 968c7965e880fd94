"""One run of Harmony that can be watched: its database served by the admin API and console."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import redis
from rich.console import Console

from services.kernel.clock import ReplayClock, SystemClock
from services.kernel.db.session import make_engine
from services.kernel.errors import InvalidInput
from services.kernel.security.keys import ensure_first_key
from services.kernel.settings import Settings
from services.lab.arena.engine import ReplayEngine
from services.lab.arena.loop import LoopPolicy, LoopTargets, LoopTick
from services.lab.bench.llm.bench import FIRST_SEED, LlmBench, check_fits, prior_laws, work_laws
from services.lab.bench.llm.entrants import harmony_setup
from services.lab.bench.llm.families import HARMONY, HARMONY_TOLD
from services.lab.bench.llm.keep import KeptRuns
from services.lab.bench.llm.race import Race
from services.lab.bench.llm.runs import Tell
from services.lab.bench.llm.score import PartScore, minutes_of
from services.lab.bench.llm.traces.load import load_trace
from services.lab.bench.llm_product.policy import START_AT, HarmonyPolicy, run_settings
from services.lab.bench.llm_product.setup import NAME, NAMESPACE, HarmonySetup
from services.lab.demo.repository import mark_as_demo
from services.lab.demo.session import empty_database
from services.platform.platform import (
    Platform,
    platform_servers,
    process_env,
    server_process,
)
from services.platform.stop_signals import ending_on_signals
from services.platform.up import announced, wait_until_stopped

FOLDER = "bench-llm"


@dataclass(frozen=True, slots=True)
class WatchedPolicy:
    """Harmony with a clock that other processes read.

    Attributes:
        policy: What decides.
        clock: The time of the run.
        tell: Called with a line every ten minutes of it.
    """

    policy: LoopPolicy
    clock: ReplayClock
    tell: Tell

    @property
    def first_tick_s(self) -> float:
        """When it is asked first."""
        return self.policy.first_tick_s

    def on_tick(self, tick: LoopTick) -> LoopTargets:
        """Move the clock, then decide."""
        self.clock.set(at_second(tick.now_s))
        targets = self.policy.on_tick(tick)
        if int(tick.now_s) % 600 < targets.next_tick_s - tick.now_s:
            counts = ", ".join(f"{count} {pool}" for pool, count in targets.counts.items())
            self.tell(f"{tick.now_s / 60.0:.0f} min: {counts}")
        return targets


def at_second(second: float) -> datetime:
    """The run's time at a second of the trace."""
    return START_AT + timedelta(seconds=second)


def serve_llm(
    run: LlmBench, kept: KeptRuns, settings: Settings, tell: Tell, console: Console
) -> None:
    """Run Harmony once, watched from the start, and serve what it left until Ctrl-C.

    The first trace, start-up and kind of Harmony of `run`, the seed `FIRST_SEED`, a promise of the
    last of its goodputs.

    Raises:
        InvalidInput: No Harmony is asked for, the trace is bad, or the port is taken.
        Unavailable: The engine is not installed, or something does not start.
    """
    name = next((one for one in run.policies if one in (HARMONY, HARMONY_TOLD)), None)
    if name is None:
        raise InvalidInput(f"--serve: --policies must name {HARMONY} or {HARMONY_TOLD}")
    choice, startup_s = run.traces[0], run.startups_s[0]
    trace = load_trace(choice, FIRST_SEED)
    trace.scored_minutes(startup_s)
    with ReplayEngine(run.engine(trace.gpu)) as engine:
        check_fits(trace, engine)
        laws = work_laws(engine, trace, kept, tell)
        is_told = name == HARMONY_TOLD
        stated = (
            work_laws(engine, trace.before, kept, tell)
            if is_told
            else prior_laws(run, trace, kept, tell)
        )
        race = Race(trace, FIRST_SEED, startup_s, laws, run.router)
        setup = harmony_setup(race, run.goodputs[-1], stated)
        with _platform(settings, setup, console) as platform:
            clock = ReplayClock(redis.Redis.from_url(platform.settings.redis_url))
            policy = HarmonyPolicy(setup, platform.settings.database_url)
            result = engine.loop(trace.requests, race.setup, WatchedPolicy(policy, clock, tell))
            minutes = minutes_of(result, trace.goals, trace.max_workers)
            _say_score(minutes.part(race.first_minute, race.last_minute), setup, console)
            # What decided was this process: nothing is healed, the console only reads.
            wait_until_stopped(platform.supervisor.check)


@contextmanager
def _platform(settings: Settings, setup: HarmonySetup, console: Console) -> Iterator[Platform]:
    """Database, Redis, API and console; nothing that decides by itself."""
    own = run_settings(setup, settings.database_url)
    changed = {name: getattr(own, name) for name in ("clock", "seed", "step_s", "horizon_steps")}
    with (
        ending_on_signals(),
        platform_servers(settings.model_copy(update=changed), FOLDER, empty_database) as platform,
        announced(platform),
    ):
        filled = platform.settings
        engine = make_engine(filled.database_url)
        mark_as_demo(engine)
        # Made here: the service would show it in its log alone.
        key = ensure_first_key(engine, filled.admin_key_file, SystemClock().now())
        engine.dispose()
        ReplayClock(redis.Redis.from_url(filled.redis_url)).set(START_AT)
        platform.supervisor.start_all([server_process("admin", process_env(filled))])
        _say_where(platform.api_url, key, console)
        yield platform


def _say_where(url: str, key: str | None, console: Console) -> None:
    console.print(f"API and console: {url}  (Ctrl-C ends)", soft_wrap=True)
    console.print(f"the service:     {url}/workloads/{NAMESPACE}/{NAME}", soft_wrap=True)
    console.print(f"admin key:       {key or 'the one of HARMONY_ADMIN_KEY_FILE'}", soft_wrap=True)


def _say_score(score: PartScore, setup: HarmonySetup, console: Console) -> None:
    console.print(
        f"promised {setup.promise:.1%} of the requests, kept {score.goodput:.2%} for "
        f"{score.gpu_hours:.2f} GPU-hours, scaled {score.scale_events:.0f} times",
        soft_wrap=True,
    )
