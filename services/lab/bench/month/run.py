"""A simulated month over the generated fleet and any number of traces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from forecaster.errors import ForecasterError
from services.kernel.domain.shares import SHARE_RULE, is_share
from services.kernel.errors import InvalidInput
from services.lab.bench.decide.task import DecideOptions, DecideTask, load_decide_task
from services.lab.bench.month.document import to_document
from services.lab.bench.month.fleet_source import fleet_source
from services.lab.bench.month.source import MonthOptions, MonthSource, Watch
from services.lab.bench.month.trace_source import trace_source


def check_options(options: MonthOptions) -> None:
    """Refuse what cannot be replayed.

    Raises:
        InvalidInput: The promise is no share of time, or there are less days than one.
    """
    if not is_share(options.epsilon):
        raise InvalidInput(f"--risk={options.epsilon}: {SHARE_RULE}, e.g. 0.01 for 1 %")
    if options.days < 1:
        raise InvalidInput(f"--days={options.days}: must be at least 1")


def load_tasks(paths: Sequence[Path], options: MonthOptions) -> list[DecideTask]:
    """Read all traces before anything is run.

    Raises:
        InvalidInput: A trace cannot be used or is given twice, or there is nothing to replay.
    """
    if options.n_workloads == 0 and not paths:
        raise InvalidInput("--workloads=0: nothing to replay; give --data FILE or workloads")
    wanted = DecideOptions(max_test_steps=options.max_test_steps, seed=options.seed)
    tasks = [load_decide_task(path, options=wanted) for path in paths]
    names = [task.forecast.data for task in tasks]
    if len(set(names)) < len(names):
        raise InvalidInput(f"--data {', '.join(names)}: each data set once, by its file's name")
    return tasks


def run_month(tasks: Sequence[DecideTask], options: MonthOptions, watch: Watch) -> dict[str, Any]:
    """Run the generated fleet, then one trace after the other.

    Returns:
        The document of `harmony bench month --json`.

    Raises:
        InvalidInput: The forecaster cannot be trained on a trace.
    """
    check_options(options)
    sources: list[MonthSource] = []
    if options.n_workloads > 0:
        sources.append(fleet_source(options, _named("generated fleet", watch)))
    for task in tasks:
        name = task.forecast.data
        try:
            source = trace_source(task, options, _named(name, watch))
        except ForecasterError as error:
            raise InvalidInput(f"{name}: the forecaster cannot be trained: {error}") from error
        skipped = [f"{name}: {w} left out: {why}." for w, why in task.forecast.skipped.items()]
        words = [*source.assumptions["in_words"], *skipped]
        sources.append(replace(source, assumptions={**source.assumptions, "in_words": words}))
    return to_document(sources, options)


def _named(name: str, watch: Watch) -> Watch:
    return lambda text, done, total: watch(f"{name}: {text}", done, total)
