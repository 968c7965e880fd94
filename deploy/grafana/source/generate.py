"""Writes the dashboards: `python -m deploy.grafana.source.generate`.

A test holds the files equal to what this writes, and another runs every query of them.
"""

from __future__ import annotations

import json
from pathlib import Path

from deploy.grafana.source import decisions, fleet, forecast_quality, operations, workload

FOLDER = Path(__file__).parents[1] / "dashboards"
_MODULES = (fleet, workload, decisions, forecast_quality, operations)


def generate() -> dict[str, str]:
    """Text of each dashboard by file name."""
    made = {module.__name__.rpartition(".")[2]: module.make() for module in _MODULES}
    return {
        f"{name.replace('_', '-')}.json": json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        for name, content in made.items()
    }


def main() -> None:
    """Write the files."""
    for name, text in generate().items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
