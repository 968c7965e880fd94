"""`harmony demo`: bring the platform up, replay a day, keep the score, serve."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from services.kernel.celery_app import CelerySender, make_celery
from services.kernel.jobs import FORECAST_FIT, Job
from services.kernel.settings import Settings
from services.lab.demo.measure import Reporter
from services.lab.demo.memory import MemoryMeter
from services.lab.demo.options import DemoOptions
from services.lab.demo.replay import Latency, kick_off, replay_step
from services.lab.demo.results import Replayed, shown_time, write_results
from services.lab.demo.rivals import SharedDay, by_service
from services.lab.demo.rivals_aside import RivalsAside
from services.lab.demo.scenario import load_fleet
from services.lab.demo.session import (
    DemoSession,
    demo_settings,
    empty_database,
    empty_own_server,
    end_session,
    start_session,
)
from services.lab.demo.spent import CpuMeter
from services.platform.platform import Platform, platform_servers
from services.platform.stop_signals import ending_on_signals
from services.platform.up import announced, wait_until_stopped
from services.simulator import (
    RequestMeters,
    RunLedger,
    draw_served_fleet,
    draw_served_history,
    past_requests,
    score,
    simulate_history,
)
from services.simulator.fleet import Fleet, ScaledFleet
from services.simulator.fleet.meters import ServiceMeters


def run_demo(options: DemoOptions, settings: Settings, console: Console) -> None:
    """Run the whole demo.

    Raises:
        InvalidInput: The trace or an option cannot be used.
        Unavailable: A part does not start, or ends by itself.
    """
    started = time.monotonic()
    scaled = load_fleet(options)
    fleet, targets = scaled.services, scaled.targets
    console.print(Text.assemble((fleet.label, "bold"), f": {_describe(fleet)}"))
    history = simulate_history(targets)
    meters = ServiceMeters(fleet, history.ready_mean[: fleet.n_workloads])
    initial = [int(n) for n in history.last_spec]
    day = _shared_day(scaled, options)
    requests = None if day.served is None else RequestMeters(day.served)
    past = {} if day.past is None else past_requests(day.past, history.ready_mean)
    filled = demo_settings(settings, options, fleet)
    prepare = empty_database if filled.database_url else empty_own_server
    with (
        ending_on_signals(),
        MemoryMeter() as memory,
        platform_servers(filled, "demo", prepare) as platform,
        announced(platform),
        RivalsAside(day, platform) as rivals,
        _progress(console) as progress,
    ):
        spent = CpuMeter(partial(_pids, platform, rivals))
        with _phase(progress, "starting Celery, APIs, operator, cluster; storing the history"):
            session = start_session(platform, scaled, initial, meters, past)
        spent.mark("start")
        try:
            ledger = RunLedger(targets, "harmony", history.last_spec)
            reporter = Reporter(fleet, meters, requests)
            latencies = _replay(session, scaled, reporter, ledger, progress)
            spent.mark("replay")
            with _phase(progress, "tuning and running the rivals"):
                judged = rivals.result(session.deps.check)
            run = ledger.run()
            own = score(run, targets, promised=options.epsilon, setting="not tuned")
            replayed = Replayed(
                (*by_service(day, [own], [run]), *judged.scores),
                (own, *judged.by_target),
                run,
                latencies,
                time.monotonic() - started,
                memory.peak_gib,
                day.served,
                judged.frontiers,
                spent,
            )
            progress.stop()
            write_results(session, scaled, options, replayed, console)
            if options.serve:
                # its clock and its cluster's state end with their processes: it is not healed
                wait_until_stopped(
                    platform.supervisor.check, partial(_tell_where, session, console)
                )
        finally:
            end_session(session)


def _shared_day(scaled: ScaledFleet, options: DemoOptions) -> SharedDay:
    if options.truth != "served":
        return SharedDay(scaled, None, options.epsilon)
    past = draw_served_history(scaled)
    return SharedDay(scaled, draw_served_fleet(scaled), options.epsilon, past)


def _pids(platform: Platform, rivals: RivalsAside) -> dict[str, int]:
    """Process ids of the platform's processes and of the rivals', by name."""
    living = (child for child in platform.supervisor.children() if child.is_alive())
    return {child.spec.name: child.pid for child in living} | rivals.pids()


def _tell_where(session: DemoSession, console: Console) -> None:
    platform = session.platform
    console.print(f"API and console: {platform.api_url}  (Ctrl-C ends)")
    console.print(f"admin key:       {session.admin_key}")
    if platform.token_file is not None:
        console.print(f"push token in:   {platform.token_file}")
    console.print(f"database:        {platform.settings.database_url}")


def _describe(fleet: Fleet) -> str:
    return (
        f"{fleet.n_workloads} workloads, steps of {fleet.step_s} s, "
        f"{fleet.n_history * fleet.step_s / 86400:.1f} days of history, "
        f"{fleet.replay_hours:g} h to replay"
    )


def _progress(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        refresh_per_second=4,
    )


@contextmanager
def _phase(progress: Progress, what: str) -> Iterator[None]:
    """A step without a known length: pulses, then counts as done."""
    task = progress.add_task(what, total=None)
    yield
    progress.update(task, total=1, completed=1)


def _replay(
    session: DemoSession,
    scaled: ScaledFleet,
    reporter: Reporter,
    ledger: RunLedger,
    progress: Progress,
) -> list[Latency]:
    fleet = scaled.services
    sender = CelerySender(make_celery(session.platform.settings))
    task = progress.add_task("replaying", total=fleet.n_replay)
    latencies: list[Latency] = []
    kick_off(session.deps, fleet, reporter.last_of_history())
    sender.send(Job(FORECAST_FIT))  # nobody waits for it: the prior answers until it is promoted
    for step in range(fleet.n_history, fleet.n_steps):
        trace = replay_step(session.deps, scaled, step, reporter)
        latencies.append(trace.latency)
        for i, (spec, intervals) in enumerate(zip(trace.spec, trace.intervals, strict=True)):
            ledger.record(i, step - fleet.n_history, spec, intervals)
        gpus = sum(
            pieces[-1].bound * target.gpus_per_replica
            for pieces, target in zip(trace.intervals, scaled.targets.workloads, strict=True)
        )
        what = f"replaying {shown_time(fleet.step_at(step + 1))}  {gpus} GPUs"
        progress.update(task, advance=1, description=what)
    return latencies
