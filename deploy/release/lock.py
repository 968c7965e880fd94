"""A lock with hashes of everything but PyTorch: `requirements.lock`.

The versions are those of `constraints.txt`; the hashes are asked of pip's index.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx
from packaging.utils import canonicalize_name

from deploy.release.bill import closure, pinned

LOCK = "requirements.lock"
_WITHOUT = {"torch"}
_ASKED_AT_ONCE = 8
_EXTRAS = ("dev", "otel", "docs")
_JSON = "application/vnd.pypi.simple.v1+json"
_WHEEL = re.compile(
    r"-(?:py3|py2\.py3|cp3\d+|cp31[1-4])-[^-]+-"
    r"(?:any|(?:many|musl)linux\S*_(?:x86_64|aarch64)|macosx\S*)\.whl$"
)
_HEAD = """\
# Everything that `.[dev]` needs, with hashes; written by `python -m deploy.release lock`.
# PyTorch is not in it, since its CPU and its CUDA builds both serve: `make install-locked`.
"""
Ask = Callable[[str], Mapping[str, Any]]


def make_lock(folder: Path, ask: Ask) -> str:
    """The lock's text.

    Args:
        folder: Where `constraints.txt` is.
        ask: The index's answer about a project, by its name.

    Raises:
        ValueError: A package has no version in the constraints, or the index no file of it.
    """
    versions = pinned(folder)
    names = sorted(closure(_EXTRAS) - _WITHOUT)
    missing = [name for name in names if name not in versions]
    if missing:
        raise ValueError(f"installed, and not in constraints.txt: {', '.join(missing)}; add them")
    with ThreadPoolExecutor(_ASKED_AT_ONCE) as pool:
        answers = dict(zip(names, pool.map(ask, names), strict=True))
    lines = []
    for name in names:
        found = sorted(_hashes(answers[name]["files"], name, versions[name]))
        if not found:
            raise ValueError(f"{name} {versions[name]}: the index has no file of it")
        lines.append(
            " \\\n".join([f"{name}=={versions[name]}", *(f"    {each}" for each in found)])
        )
    return _HEAD + "\n".join(lines) + "\n"


def _hashes(files: Iterable[Mapping[str, Any]], name: str, version: str) -> set[str]:
    """Hashes of a version's source and of its wheels for the machines that Harmony runs on."""
    found = set()
    for file in files:
        stem, _, rest = str(file["filename"]).partition(f"-{version}")
        is_file = canonicalize_name(stem) == name and (
            rest in {".tar.gz", ".zip"} or bool(rest.startswith("-") and _WHEEL.search(rest))
        )
        if is_file and "sha256" in file["hashes"]:
            found.add(f"--hash=sha256:{file['hashes']['sha256']}")
    return found


def ask_index(name: str) -> Mapping[str, Any]:
    """What pip's index says of a project."""
    answer = httpx.get(f"{index_url()}/{name}/", headers={"Accept": _JSON}, timeout=60)
    return dict(answer.raise_for_status().json())


@lru_cache(maxsize=1)
def index_url() -> str:
    """Where pip asks for packages."""
    configured = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.index-url"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    url = os.environ.get("PIP_INDEX_URL") or configured
    if not url:  # pip's own default, which it keeps to itself
        ask = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"
        url = subprocess.run(
            [sys.executable, "-c", ask], capture_output=True, text=True, check=True
        ).stdout.strip()
    return url.rstrip("/")
