"""The measurement: start-up, idle, every decision new, decisions one at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from services.kernel.clock import SystemClock, make_rng
from services.kernel.errors import Unavailable
from services.kernel.settings import Settings
from services.lab.bench.operator import fleet
from services.lab.bench.operator.calls import CallObserver
from services.lab.bench.operator.fleet import N_PODS_EACH, Name
from services.lab.bench.operator.repository import Decider
from services.lab.bench.operator.testbed import OperatorProcess, Testbed, running_testbed

Watch = Callable[[str], None]
_PATIENCE_S = 900.0
_LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class OperatorOptions:
    """Options of the measurement.

    Attributes:
        idle_s: How long the idle fleet is watched.
        n_decisions: Decisions that arrive one at a time.
        gap_s: Mean time between two of them, exponential.
    """

    n_autoscalers: int = 5000
    idle_s: float = 60.0
    n_decisions: int = 400
    gap_s: float = 0.25
    interval_s: float = 5.0
    seed: int = 7


@dataclass(slots=True)
class Bench:
    """One measurement under way."""

    options: OperatorOptions
    testbed: Testbed
    names: Sequence[Name]
    observer: CallObserver
    operator: OperatorProcess
    decider: Decider
    watch: Watch


def run_operator(
    options: OperatorOptions, settings: Settings, watch: Watch, logs: Path | None = None
) -> dict[str, Any]:
    """Measure the operator on a fleet; the document of `--json`.

    Raises:
        Unavailable: Something does not start, or the operator does not do its work.
    """
    names = fleet.names(options.n_autoscalers)
    given = settings.model_copy(update={"seed": options.seed})
    with ExitStack() as stack:
        nodes = fleet.node_pool(options.n_autoscalers)
        observer_stack = stack.enter_context(ExitStack())  # closed after the cluster has gone
        testbed = stack.enter_context(running_testbed(given, nodes, logs))
        watch(f"creating {options.n_autoscalers} GPUAutoscalers with their Deployments")
        began_s = time.monotonic()
        fleet.create(testbed.url, names)
        created_s = time.monotonic() - began_s
        observer = observer_stack.enter_context(CallObserver(testbed.url))
        observer.start_watch()
        decider = Decider(testbed.engine, settings.policy_version, settings.step_s)
        observer.forget()
        started_s = time.monotonic()
        operator = OperatorProcess(testbed, options.interval_s)
        stack.callback(operator.close)
        bench = Bench(options, testbed, names, observer, operator, decider, watch)
        found: dict[str, Any] = {"options": asdict(options), "fleet_creation_s": created_s}
        found["start"] = _start(bench, started_s)
        found["idle"] = _idle(bench)
        found["busy"] = _busy(bench)
        found["latency"] = _latency(bench)
        found["rss_mib"] = {"end": operator.rss_mib(), "peak": operator.peak_rss_mib()}
        return found


def _start(bench: Bench, started_s: float) -> dict[str, Any]:
    bench.watch("starting the operator")
    _until(bench.operator.is_ready, "its first pass")
    ready_s = time.monotonic() - started_s
    first_pass_s = bench.operator.pass_seconds()
    n_first = bench.operator.n_passes()
    bench.watch("waiting until every status is written")
    settled_s = _settle(bench) - started_s
    calls = bench.observer.calls()
    missing = len(bench.names) - bench.observer.n_statuses()
    if missing:
        raise Unavailable(f"{missing} GPUAutoscalers were left without a status")
    return {
        "first_pass_complete_s": ready_s,
        "first_pass_s": first_pass_s / n_first,
        "all_statuses_written_s": settled_s,
        "calls": calls.listed(),
        "rss_mib": bench.operator.rss_mib(),
        "cpu_s": bench.operator.cpu_seconds(),
    }


def _idle(bench: Bench) -> dict[str, Any]:
    """Nothing happens; what does it cost?"""
    operator, idle_s = bench.operator, bench.options.idle_s
    bench.watch(f"watching it idle for {idle_s:.0f} s")
    bench.observer.forget()
    n_passes, in_passes_s, cpu_s = (
        operator.n_passes(),
        operator.pass_seconds(),
        operator.cpu_seconds(),
    )
    began_s = time.monotonic()
    time.sleep(idle_s)
    lasted_s = time.monotonic() - began_s
    calls = bench.observer.calls()
    passes = operator.n_passes() - n_passes
    per_minute = 60.0 / lasted_s
    return {
        "passes": passes,
        "pass_s": (operator.pass_seconds() - in_passes_s) / max(passes, 1.0),
        "cpu_share": (operator.cpu_seconds() - cpu_s) / lasted_s,
        "writes": calls.writes(),
        "lease_calls_per_minute": calls.lease() * per_minute,
        "calls_per_minute": calls.total() * per_minute,
        "calls_per_object_per_minute": calls.total() * per_minute / len(bench.names),
        "calls": calls.listed(),
        "rss_mib": operator.rss_mib(),
    }


def _busy(bench: Bench) -> dict[str, Any]:
    """A new decision for every workload at once."""
    bench.watch("a new decision for every workload")
    ids = bench.decider.workload_ids()
    wanted = dict.fromkeys(ids.values(), N_PODS_EACH + 1)
    bench.observer.forget()
    n_passes, in_passes_s = bench.operator.n_passes(), bench.operator.pass_seconds()
    bench.decider.decide(wanted, SystemClock().now())
    committed_s = time.monotonic()
    _until(lambda: bench.decider.results().get("applied", 0) >= len(wanted), "every action", 0.2)
    written_s = time.monotonic() - committed_s
    last_s = max(bench.observer.moved(name)[1] for name in ids) - committed_s
    settled_s = _settle(bench) - committed_s
    return {
        "last_scale_patched_s": last_s,
        "actions_written_s": written_s,
        "all_statuses_written_s": settled_s,
        "passes": bench.operator.n_passes() - n_passes,
        "in_passes_s": bench.operator.pass_seconds() - in_passes_s,
        "results": bench.decider.results(),
        "calls": bench.observer.calls().listed(),
        "rss_mib": bench.operator.rss_mib(),
    }


def _latency(bench: Bench) -> dict[str, Any]:
    """Decisions one at a time, at random moments: from commit to the patched scale."""
    options = bench.options
    rng = make_rng(options.seed, "bench", "operator", "arrivals")
    ids = bench.decider.workload_ids()
    names = list(ids)
    chosen = rng.permutation(len(names))[: options.n_decisions]
    bench.watch(f"{len(chosen)} decisions one at a time")
    committed: dict[Name, float] = {}
    due_s = time.monotonic()
    for position in chosen:
        due_s += float(rng.exponential(options.gap_s))
        time.sleep(max(0.0, due_s - time.monotonic()))
        name = names[int(position)]
        later = SystemClock().now() + timedelta(microseconds=1)
        bench.decider.decide({ids[name]: N_PODS_EACH + 2}, later)
        committed[name] = time.monotonic()

    def is_done() -> bool:
        return all(bench.observer.moved(name)[0] == N_PODS_EACH + 2 for name in committed)

    _until(is_done, "every scale")
    delays_s = [max(0.0, bench.observer.moved(name)[1] - at) for name, at in committed.items()]
    return {
        "n": len(delays_s),
        "p50_s": float(np.percentile(delays_s, 50)),
        "p99_s": float(np.percentile(delays_s, 99)),
        "max_s": max(delays_s),
    }


def _settle(bench: Bench) -> float:
    """Wait until nothing was written for two intervals; the monotonic time of the last write."""
    last, last_s = -1, time.monotonic()
    ends_s = last_s + _PATIENCE_S
    while time.monotonic() - last_s < 2 * bench.options.interval_s:
        if time.monotonic() > ends_s:
            raise Unavailable("the operator does not come to rest: it writes without end")
        n_writes = bench.observer.calls().writes()
        if n_writes != last:
            last, last_s = n_writes, time.monotonic()
        time.sleep(0.25)
    return last_s


def _until(is_done: Callable[[], bool], what: str, look_s: float = _LOOK_S) -> None:
    ends_s = time.monotonic() + _PATIENCE_S
    while not is_done():
        if time.monotonic() > ends_s:
            raise Unavailable(f"waited {_PATIENCE_S:.0f} s for {what}")
        time.sleep(look_s)
