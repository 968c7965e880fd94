"""The engine, seen from here: a process of the arena's own Python that replays requests."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from services.kernel.errors import InvalidInput, Unavailable
from services.lab.arena.loop import (
    DECODE,
    PREFILL,
    SERVE,
    KeptCounts,
    LoopDecision,
    LoopPolicy,
    LoopResult,
    LoopSetup,
    check_targets,
)
from services.lab.arena.loop_wire import (
    columns_of,
    decided_of,
    loop_question,
    planner_question,
    result_of,
    served_of,
    targets_line,
    tick_of,
)
from services.lab.arena.planner_setup import PlannerSetup
from services.lab.arena.requests import RequestList, ServedRequests

VARIABLE = "HARMONY_ARENA"
FOLDER = ".venv-arena"
SCRIPT = Path(__file__).with_name("replay_process.py")
_PAUSE_MS = 6 * 3.6e6
_SELDOM_MS = 60e3
ENGINES = ("vllm", "sglang", "trtllm")
POOLS = {"aggregated": (SERVE,), "disaggregated": (PREFILL, DECODE)}
"""Pools of workers, of each mode."""


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """Which replica is replayed.

    Attributes:
        model: Name of the model, as its publisher spells it: `Qwen/Qwen3-32B`.
        gpu: Name of the GPU type, as the profiles spell it: `a100_sxm`.
        engine: One of `ENGINES`.
        tensor_parallel: GPUs of one replica.
        mode: One of `POOLS`: whether the same workers do prefill and decode.
    """

    model: str
    gpu: str
    engine: str = "vllm"
    tensor_parallel: int = 1
    mode: str = "aggregated"

    def __post_init__(self) -> None:
        """Refuse an engine that there is no profile of, and a mode that there is not."""
        if self.engine not in ENGINES:
            raise InvalidInput(f"--engine={self.engine}: must be one of {', '.join(ENGINES)}")
        if self.mode not in POOLS:
            raise InvalidInput(f"--mode={self.mode}: must be one of {', '.join(POOLS)}")


def arena_python() -> Path:
    """The arena's Python: of `HARMONY_ARENA`, of this folder, of the source tree.

    Raises:
        Unavailable: There is none.
    """
    named = os.environ.get(VARIABLE)
    folders = [Path(named)] if named else [Path(FOLDER), Path(__file__).parents[3] / FOLDER]
    for folder in folders:
        if (folder / ".installed").exists() and (folder / "bin" / "python").exists():
            return (folder / "bin" / "python").absolute()
    raise Unavailable(
        "the engine is not installed: run `make arena` in Harmony's source tree, or set "
        f"{VARIABLE} to an environment made so (looked in {', '.join(map(str, folders))})"
    )


def _environment() -> dict[str, str]:
    """Nothing of the product's Python; one thread and fixed hashes, so that runs repeat."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    return {**kept, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}


class ReplayEngine:
    """A running engine: `with ReplayEngine(choice) as engine: engine.replay(...)`.

    Attributes:
        choice: Which replica it replays.
        about: What it says of itself: versions, memory, limits.
    """

    def __init__(self, choice: EngineChoice, python: Path | None = None) -> None:
        """Start it.

        Args:
            choice: Which replica.
            python: Python of the arena's environment; by default it is looked for.
        """
        self.choice = choice
        program = python or arena_python()
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [str(program), "-P", str(SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._messages,
            text=True,
            env=_environment(),
        )
        try:
            self.about = self._ask({"engine": asdict(choice)})
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        """Already started."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the process."""
        self.close()

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
        self._process.terminate()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._messages.close()

    def replay(self, requests: RequestList, workers: int | Mapping[str, int] = 1) -> ServedRequests:
        """Serve requests by that many replicas, in turn, from the first arrival to the last token.

        Args:
            requests: What arrives.
            workers: How many; where there are two pools, of each pool.

        Raises:
            InvalidInput: The engine refuses them.
            Unavailable: It has died.
        """
        pools = POOLS[self.choice.mode]
        counts = dict.fromkeys(pools, workers) if isinstance(workers, int) else workers
        if pools != (SERVE,):
            # The engine replays two pools in its loop only: one that nobody scales.
            most = max(counts.values())
            setup = LoopSetup(0.0, counts, most, drain_s=_PAUSE_MS / 1e3, sample_ms=_SELDOM_MS)
            return self.loop(requests, setup, KeptCounts()).served
        return served_of(self._ask({"replay": {**columns_of(requests), "workers": counts[SERVE]}}))

    def loop(self, requests: RequestList, setup: LoopSetup, policy: LoopPolicy) -> LoopResult:
        """Serve requests by as many workers as the policy asks for, tick by tick.

        Raises:
            InvalidInput: The engine refuses them, or the policy asks for what there is not.
            Unavailable: The engine has died.
        """
        self._check_pools(setup)
        answer = self._ask({"loop": loop_question(requests, setup, policy.first_tick_s)})
        decided = []
        while "tick" in answer:
            tick = tick_of(answer["tick"])
            try:
                targets = policy.on_tick(tick)
                check_targets(targets, tick)
            except BaseException:
                # The engine waits inside its replay: it must hear of the end, or it could not be
                # asked again.
                with suppress(Unavailable):
                    self._exchange({"stop": True})
                raise
            decided.append(LoopDecision(tick.now_s, dict(targets.counts)))
            answer = self._ask(targets_line(targets, setup))
        return result_of(answer, requests, setup, tuple(decided), self.choice.tensor_parallel)

    def loop_planner(
        self, requests: RequestList, setup: LoopSetup, planner: PlannerSetup
    ) -> LoopResult:
        """Serve requests by as many workers as NVIDIA's Dynamo Planner asks for.

        It runs beside the engine, in its own replay adapter, and sees what that gives it.

        Raises:
            InvalidInput: The engine or the Planner refuses its part.
            Unavailable: The engine has died.
        """
        self._check_pools(setup)
        gpus = self.choice.tensor_parallel
        answer = self._ask({"planner": planner_question(requests, setup, planner, gpus)})
        return result_of(answer, requests, setup, decided_of(answer), gpus)

    def _check_pools(self, setup: LoopSetup) -> None:
        pools = POOLS[self.choice.mode]
        if set(setup.initial) != set(pools):
            raise InvalidInput(
                f"initial has pools {', '.join(sorted(setup.initial))}: mode {self.choice.mode} "
                f"has {', '.join(pools)}"
            )

    def replay_each(
        self, lists: Sequence[RequestList], workers: int | Mapping[str, int] = 1
    ) -> tuple[ServedRequests, ...]:
        """Serve several lists in one replay, each after the queues of the one before are empty.

        It starts the engine's model once, which takes longer than some minutes of requests.
        """
        pause_ms, starts = _PAUSE_MS, [0.0]
        for requests in lists[:-1]:
            starts.append(starts[-1] + float(requests.arrival_ms[-1]) + pause_ms)
        arrivals = [r.arrival_ms + start for r, start in zip(lists, starts, strict=True)]
        whole = RequestList(
            np.concatenate(arrivals),
            np.concatenate([requests.input_tokens for requests in lists]),
            np.concatenate([requests.output_tokens for requests in lists]),
            tuple(blocks for requests in lists for blocks in requests.shared_blocks),
        )
        served = self.replay(whole, workers)
        ends = np.nan_to_num(whole.arrival_ms + served.e2e_ms, nan=0.0)
        found, first = [], 0
        for at, requests in enumerate(lists):
            part = slice(first, first + len(requests))
            # Of two pools the engine may forget single requests until others come: those are late.
            is_one = POOLS[self.choice.mode] == (SERVE,)
            if is_one and at + 1 < len(lists) and ends[part].max() > starts[at + 1]:
                raise InvalidInput(
                    f"{len(requests)} requests on {workers} replicas leave a queue of over "
                    f"{pause_ms / 3.6e6:g} h: lower the rate"
                )
            found.append(
                ServedRequests(served.ttft_ms[part], served.tpot_ms[part], served.e2e_ms[part])
            )
            first += len(requests)
        return tuple(found)

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        answer = self._exchange(question)
        if "error" in answer:
            raise InvalidInput(answer["error"])
        return answer

    def _exchange(self, question: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise Unavailable(f"the engine has ended: {self._last_message()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _last_message(self) -> str:
        self._process.wait()
        self._messages.seek(0)
        lines = self._messages.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"exit code {self._process.returncode}"
