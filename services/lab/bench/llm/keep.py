"""Runs kept in a folder, so that a sweep that was stopped goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from services.kernel.whole_files import write_whole
from services.lab.bench.llm.race import RaceTrack
from services.lab.bench.llm.traces.trace import LlmTrace

SOURCE = Path(__file__).parents[4]
RIVAL_CODE = ("services/lab/arena", "services/lab/bench/llm")
PRODUCT_CODE = ("forecaster", "decider", "services")
_LENGTH = 24


@dataclass(frozen=True, slots=True)
class KeptRuns:
    """A folder of documents, each under a digest of all that it depends on.

    Attributes:
        folder: Where; None: in memory alone.
    """

    folder: Path | None = None
    _memory: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)

    def find(self, key: Mapping[str, Any]) -> dict[str, Any] | None:
        """The document of a key; None where there is none, or one that was cut off."""
        name = _name(key)
        if self.folder is None:
            return self._memory.get(name)
        path = self.folder / name
        if not path.exists():
            return None
        try:
            found: dict[str, Any] = json.loads(path.read_text())["value"]
        except (ValueError, KeyError, TypeError):
            return None  # cut off, or nothing that was kept here: it is made again
        return found

    def keep(self, key: Mapping[str, Any], value: Mapping[str, Any]) -> None:
        """Store a document under its key, whole or not at all.

        Raises:
            InvalidInput: It cannot be written, as on a full disk.
        """
        name = _name(key)
        if self.folder is None:
            self._memory[name] = dict(value)
            return
        write_whole(self.folder / name, json.dumps({"key": key, "value": value}))


def _name(key: Mapping[str, Any]) -> str:
    digest = sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return f"{digest[:_LENGTH]}.json"


def track_key(track: RaceTrack, code: tuple[str, ...] = RIVAL_CODE) -> dict[str, Any]:
    """All that a run depends on beside its policy."""
    race = track.race
    return {
        "trace": trace_digest(race.trace),
        "seed": race.seed,
        "startup_s": race.startup_s,
        "router": race.router,
        "initial": race.initial,
        "engine": asdict(track.engine.choice) | dict(track.engine.about),
        "code": code_digest(code),
    }


def trace_digest(trace: LlmTrace) -> str:
    """Of its requests and what is promised."""
    digest = sha256(repr((trace.name, trace.goals, trace.gpu, trace.max_workers)).encode())
    for requests in (trace.requests, trace.history):
        if requests is not None:
            digest.update(repr(requests.prefix).encode())
            for column in (requests.arrival_ms, requests.input_tokens, requests.output_tokens):
                digest.update(column.tobytes())
    return digest.hexdigest()[:_LENGTH]


@cache
def code_digest(folders: tuple[str, ...]) -> str:
    """Of the source files in folders of this tree: other code may run otherwise."""
    digest = sha256()
    for folder in folders:
        for path in sorted((SOURCE / folder).rglob("*.py")):
            digest.update(path.relative_to(SOURCE).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:_LENGTH]
