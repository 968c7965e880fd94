"""Options of the demo, checked before anything starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from services.kernel.domain.shares import SHARE_RULE, is_share
from services.kernel.errors import InvalidInput

REAL_DEMAND = Path(__file__).with_name("servegen.parquet")
"""Two weeks of two LLM services and their largest clients; see NOTICE."""
REAL_STEP_S, REAL_WORKLOADS = 600, 22
DEFAULT_STEP_S = 300
QUICK_STEP_S = 600
DEFAULT_WORKLOADS = 24
QUICK_WORKLOADS = 8
HISTORY_DAYS = 14
QUICK_HISTORY_DAYS = 10

Truth = Literal["served", "stated"]
"""What a replica bears: what a response says that no policy is told, or the stated capacity."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """Options of one demo.

    Attributes:
        data: Trace to replay, `REAL_DEMAND` or one of the user's; None: a generated fleet.
        demand: Demand column of the trace; None: as its metadata says.
        n_workloads: Workloads at most (a trace may hold fewer).
        hours: Simulated hours to replay.
        step_s: Step length in seconds.
        epsilon: Promised largest share of time out of SLA.
        seed: Seed of everything random.
        is_quick: Shorter history, fewer services, longer steps.
        serve: Serve until Ctrl-C once the replay is done.
        report: Where the HTML report goes.
        json_file: Where the scoreboard goes as JSON; None: nowhere.
        port: Port of API and console.
        truth: What a replica bears.
        has_asked_step: The step was asked for, so that no other may take its place.
    """

    data: Path | None
    demand: str | None
    n_workloads: int
    hours: float
    step_s: int
    epsilon: float
    seed: int
    is_quick: bool
    serve: bool
    report: Path
    json_file: Path | None
    port: int
    truth: Truth
    has_asked_step: bool = False

    @classmethod
    def from_command_line(  # noqa: PLR0913 - one argument per option
        cls,
        *,
        data: Path | None,
        demand: str | None,
        n_workloads: int | None,
        hours: float,
        step_s: int | None,
        epsilon: float,
        seed: int,
        is_quick: bool,
        serve: bool,
        report: Path,
        json_file: Path | None,
        port: int,
        truth: Truth | None = None,
        is_generated: bool = False,
    ) -> DemoOptions:
        """Fill in the defaults and check what can be checked at once.

        Without a truth a fleet is `served`, a trace of the user's `stated`: it tells no requests.

        Raises:
            InvalidInput: An option cannot be used; the message says what would be right.
        """
        if not is_share(epsilon):
            raise InvalidInput(f"--risk={epsilon}: {SHARE_RULE}, e.g. 0.01 for 1 %")
        if is_generated and data is not None:
            raise InvalidInput(f"--data={data}: cannot be replayed together with --generated")
        if demand is not None and data is None:
            raise InvalidInput(f"--demand={demand}: only makes sense together with --data FILE")
        if step_s is not None and 3600 % step_s:
            raise InvalidInput(f"--step={step_s}: must divide an hour, e.g. 60, 300 or 600")
        if truth is not None and truth not in get_args(Truth):
            raise InvalidInput(f"--truth={truth}: must be one of {', '.join(get_args(Truth))}")
        if truth == "served" and data is not None:
            raise InvalidInput(
                "--truth=served: only makes sense without --data; a trace tells no requests"
            )
        _check_files(report, json_file)
        is_own = data is not None
        if not is_own and not is_generated:
            _check_real(step_s, n_workloads)
            data = REAL_DEMAND
        return cls(
            data=data,
            demand=demand,
            n_workloads=n_workloads or (QUICK_WORKLOADS if is_quick else DEFAULT_WORKLOADS),
            hours=hours,
            step_s=step_s or (QUICK_STEP_S if is_quick else DEFAULT_STEP_S),
            epsilon=epsilon,
            seed=seed,
            is_quick=is_quick,
            serve=serve,
            report=report,
            json_file=json_file,
            port=port,
            truth=truth or ("stated" if is_own else "served"),
            has_asked_step=step_s is not None,
        )

    @property
    def history_days(self) -> float:
        """Days of history before the replay, for a generated fleet."""
        return QUICK_HISTORY_DAYS if self.is_quick else HISTORY_DAYS


def _check_files(report: Path, json_file: Path | None) -> None:
    for flag, path in (("--report", report), ("--json", json_file)):
        if path is not None and path.is_dir():
            raise InvalidInput(f"{flag}={path}: is a folder; name a file in it")


def _check_real(step_s: int | None, n_workloads: int | None) -> None:
    """Refuse what the real demand does not have.

    Raises:
        InvalidInput: The option, and what would be right.
    """
    if step_s is not None and step_s % REAL_STEP_S:
        raise InvalidInput(
            f"--step={step_s}: real demand has steps of {REAL_STEP_S} s; give a multiple of it, "
            "e.g. 1200, or --generated"
        )
    if n_workloads is not None and n_workloads > REAL_WORKLOADS:
        raise InvalidInput(
            f"--workloads={n_workloads}: real demand is that of {REAL_WORKLOADS} services; give at "
            "most so many, or --generated"
        )
