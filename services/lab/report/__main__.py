"""The rivals' scoreboard without the platform: `python -m services.lab.report [--data FILE]`."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from rich.console import Console

from services.kernel.errors import InvalidInput
from services.kernel.whole_files import write_whole
from services.lab.report import ReportData, render_report, scoreboard_table
from services.simulator import needed_gpus, run_rivals
from services.simulator.fleet import (
    Fleet,
    FleetOptions,
    TraceError,
    TraceOptions,
    generate_fleet,
)
from services.simulator.measurements import ColumnChoice, load_trace


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="parquet trace; default: a generated fleet")
    parser.add_argument("--demand", help="demand column of the trace")
    parser.add_argument("--step", type=int, help="step in seconds")
    parser.add_argument(
        "--risk", type=float, default=0.01, help="asked fraction of time out of SLA"
    )
    parser.add_argument("--hours", type=float, default=24.0, help="length of the replay")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--html", type=Path, help="write the page here")
    return parser.parse_args()


def _load(options: argparse.Namespace) -> Fleet:
    if options.data is not None:
        wanted = TraceOptions(
            step_s=options.step,
            replay_hours=options.hours,
            max_history_steps=4032,
            seed=options.seed,
            epsilon=options.risk,
        )
        return load_trace(options.data, wanted, ColumnChoice(demand=options.demand)).fleet
    step_s = options.step or 300
    return generate_fleet(
        FleetOptions(
            seed=options.seed,
            step_s=step_s,
            n_history=7 * 86_400 // step_s,
            n_replay=round(options.hours * 3600 / step_s),
            epsilon=options.risk,
        )
    )


def main() -> int:
    """Tune, replay, print; exit code 2 with one line when the input cannot be used."""
    options = _options()
    try:
        fleet = _load(options)
    except (TraceError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    started = time.perf_counter()
    rivals = run_rivals(fleet, epsilon=options.risk, seed=options.seed)
    wall_s = time.perf_counter() - started
    data = ReportData(
        data=fleet.label,
        seed=options.seed,
        simulated_hours=fleet.replay_hours,
        start_at=fleet.step_at(fleet.n_history),
        step_s=fleet.step_s,
        workloads=tuple(w.key for w in fleet.workloads),
        epsilon=options.risk,
        scores=rivals.scores,
        needed_gpus=needed_gpus(fleet),
        notes=fleet.notes,
        wall_s=wall_s,
    )
    Console().print(scoreboard_table(data), f"tuned and replayed in {wall_s:.1f} s")
    return 0 if options.html is None else _write_page(data, options.html)


def _write_page(data: ReportData, path: Path) -> int:
    try:
        write_whole(path, render_report(data))
    except InvalidInput as error:
        print(f"error: --html={error.message}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
