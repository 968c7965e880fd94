"""Traces by name, or of a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from services.kernel.clock import make_rng
from services.kernel.errors import InvalidInput
from services.lab.arena.goals import RequestGoals
from services.lab.bench.llm.traces.made import FAST, MADE, MAX_WORKERS, WARM_S, made_trace
from services.lab.bench.llm.traces.prefixes import with_shared_prefixes
from services.lab.bench.llm.traces.real import REAL, SERVEGEN, multiplied, real_trace
from services.lab.bench.llm.traces.trace import LlmTrace
from services.lab.bench.llm.traces.trace_file import read_requests

TRACES = (*REAL, *MADE)
_REDRAWN = (SERVEGEN, *MADE)


def is_redrawn(name: str) -> bool:
    """Whether another seed is other requests, or another day, not the same ones moved a little."""
    return name in _REDRAWN


@dataclass(frozen=True, slots=True)
class TraceChoice:
    """What was asked for; what is None is the trace's own.

    Attributes:
        name: One of `TRACES`, or a file of `trace_file`.
        data_dir: Folder of the public traces; None: there is none.
        rate: What its usual rate of requests is multiplied by.
        gpu: GPU type.
        goals: What a request is promised.
        prefixes: Texts that prompts begin with; 0: as in the trace.
    """

    name: str
    data_dir: Path | None = None
    rate: float = 1.0
    gpu: str | None = None
    goals: RequestGoals | None = None
    prefixes: int = 0

    @property
    def label(self) -> str:
        """What its trace is called: the name, or a file's without folder and ending."""
        return self.name if self.name in TRACES else Path(self.name).stem


def load_trace(choice: TraceChoice, seed: int) -> LlmTrace:
    """The trace of a seed.

    Raises:
        InvalidInput: It is unknown, its file is missing or bad.
    """
    if not 0 < choice.rate < float("inf"):
        raise InvalidInput(f"--rate={choice.rate:g} must be > 0")
    if choice.prefixes < 0:
        raise InvalidInput(f"--prefixes={choice.prefixes} must be >= 0")
    found = _load(choice, seed)
    requests = found.requests
    if choice.prefixes > 0:
        rng = make_rng(seed, "bench", "llm", found.name, "prefixes")
        requests = with_shared_prefixes(requests, choice.prefixes, rng)
    return LlmTrace(
        found.name,
        requests,
        choice.goals or found.goals,
        choice.gpu or found.gpu,
        found.max_workers,
        found.warm_s,
        found.history,
        found.about,
    )


def _load(choice: TraceChoice, seed: int) -> LlmTrace:
    if choice.name in MADE:
        return made_trace(choice.name, seed, choice.rate)
    if choice.name in REAL:
        if choice.data_dir is None:
            raise InvalidInput(
                f"--trace={choice.name}: needs the public traces: --data-dir or HARMONY_DATA_DIR"
            )
        return real_trace(choice.name, choice.data_dir, seed, choice.rate)
    path = Path(choice.name)
    if not path.exists():
        raise InvalidInput(f"--trace={choice.name}: must be a file or one of {', '.join(TRACES)}")
    requests = read_requests(path)
    if choice.rate != 1.0:
        requests = multiplied(requests, choice.rate, make_rng(seed, "bench", "llm", path.name))
    return LlmTrace(choice.label, requests, FAST, "h200_sxm", MAX_WORKERS, WARM_S, about=path.name)
