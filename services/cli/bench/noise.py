"""`harmony bench decide-noise`: how far a count depends on the luck of the sample paths."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.output import console, print_table, write_json
from services.cli.study_commands import JsonFile, Seed


def bench_decide_noise(  # noqa: PLR0913 - one option each
    replicas: Annotated[
        float, typer.Option(min=1.0, help="Replicas that the median demand needs.")
    ] = 100.0,
    spread: Annotated[
        float, typer.Option(min=0.0, help="Standard deviation of the demand's logarithm.")
    ] = 0.3,
    capacity_cv: Annotated[
        float, typer.Option(min=0.0, help="Coefficient of variation of a replica's capacity.")
    ] = 0.0,
    paths: Annotated[int, typer.Option(min=1, help="Sample paths.")] = 200,
    samples: Annotated[int, typer.Option(min=2, help="Samples of the paths.")] = 50,
    seed: Seed = 7,
    json_file: JsonFile = None,
) -> None:
    """Decide by many samples of one forecast's paths, and by its quantile function.

    The standard deviation of the counts over their mean, at promises of 0.1, 1 and 5 %.
    """
    from services.lab.bench.decide.noise import NoiseCase, bench_noise

    case = NoiseCase(replicas, spread, capacity_cv, paths, samples)
    with console.status("deciding"):
        found = bench_noise(case, seed)
    print_table(f"counts by {samples} samples of {paths} paths", found)
    write_json(json_file, {"rows": found})
