"""A response table: loads per replica of an engine and what requests missed under them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from services.kernel.errors import InvalidInput
from services.lab.arena.requests import FloatArray, IntArray

TABLES = Path(__file__).with_name("tables")
LOADS = ("request_rate_rps", "input_tokens_per_s", "output_tokens_per_s", "kv_tokens")
"""Loads of a replica. The last is the KV space that its requests would hold at the speed of an
empty replica: requests/s x (input + output / 2) x seconds from arrival to the last token."""
_COUNTS = dict(zip(LOADS, ("requests", "input_tokens", "output_tokens", "kv_token_s"), strict=True))


@dataclass(frozen=True, slots=True)
class ResponseTable:
    """Points (P) of M measured minutes each; counts are of the requests that arrived in a minute.

    Attributes:
        replicas: (P,) replicas that served.
        rate: (P,) requests/s per replica that were asked for.
        mean_input: (P,) mean length of prompts that was asked for.
        mean_output: (P,) mean length of answers that was asked for.
        floor: (P,) share of the requests that would miss a goal on an empty replica too.
        requests: (P, M) requests that arrived, over all replicas.
        input_tokens: (P, M) tokens of their prompts.
        output_tokens: (P, M) tokens of their answers.
        kv_token_s: (P, M) offered KV space x time, tokens x seconds.
        missed: (P, M) requests that missed a goal.
        missed_ttft: (P, M) those that waited too long for the first token.
        missed_tpot: (P, M) those whose tokens came too slowly.
        about: Where it is from: versions, seed, goals, command.
    """

    replicas: IntArray
    rate: FloatArray
    mean_input: FloatArray
    mean_output: FloatArray
    floor: FloatArray
    requests: IntArray
    input_tokens: IntArray
    output_tokens: IntArray
    kv_token_s: FloatArray
    missed: IntArray
    missed_ttft: IntArray
    missed_tpot: IntArray
    about: Mapping[str, Any]

    def __len__(self) -> int:
        """How many points there are."""
        return int(self.rate.size)

    @property
    def miss(self) -> FloatArray:
        """(P,) share of a point's requests that missed a goal."""
        return np.asarray(self.missed.sum(1) / self.requests.sum(1), np.float64)

    def loads(self, names: Sequence[str] = LOADS) -> FloatArray:
        """(P, L) loads per replica and second, as they came, means over a point's minutes."""
        seconds = 60.0 * self.requests.shape[1] * self.replicas
        columns = [getattr(self, _COUNTS[name]).sum(1) / seconds for name in names]
        return np.asarray(np.stack(columns, axis=1), np.float64)

    def rows(self, chosen: Chosen) -> ResponseTable:
        """Some of the points."""
        arrays = {name: getattr(self, name)[chosen] for name in _ARRAYS}
        return ResponseTable(**arrays, about=self.about)

    def save(self, path: Path) -> None:
        """Write `path` (.npz) and beside it where it is from (.json)."""
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {name: _small(getattr(self, name)) for name in _ARRAYS}
        with path.open("wb") as file:
            np.savez_compressed(file, **arrays)
        path.with_suffix(".json").write_text(json.dumps(self.about, indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> ResponseTable:
        """Read a table.

        Raises:
            InvalidInput: There is none, or it is not whole.
        """
        try:
            about = json.loads(path.with_suffix(".json").read_text())
            with np.load(path, allow_pickle=False) as stored:
                arrays = {name: _wide(stored[name]) for name in _ARRAYS}
        except OSError as error:
            shipped = ", ".join(sorted(str(found) for found in TABLES.glob("*.npz")))
            reason = error.strerror or error
            raise InvalidInput(f"--table={path}: {reason}; shipped are {shipped}") from error
        except (KeyError, ValueError) as error:
            raise InvalidInput(f"--table={path}: is no response table: {error}") from error
        return cls(**arrays, about=about)


Chosen = slice | IntArray | np.ndarray[Any, np.dtype[np.bool_]]
_ARRAYS = tuple(field.name for field in fields(ResponseTable) if field.name != "about")


def _small(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return values.astype(np.int32 if values.dtype.kind == "i" else np.float32)


def _wide(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return values.astype(np.int64 if values.dtype.kind == "i" else np.float64)
