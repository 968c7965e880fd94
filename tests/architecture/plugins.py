"""Plugins of pytest that our settings leave out, for runs in folders that have no settings."""

from __future__ import annotations

import tomllib
from itertools import pairwise
from pathlib import Path

_SETTINGS = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
_OPTIONS = _SETTINGS["tool"]["pytest"]["ini_options"]["addopts"]
WITHOUT_PLUGINS = [
    word
    for pair in pairwise(_OPTIONS)
    if pair[0] == "-p" and pair[1].startswith("no:")
    for word in pair
]
"""Each is loaded and imported by every process otherwise, in a second."""
