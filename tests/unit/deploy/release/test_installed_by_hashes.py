"""CI installs what the lock names, by its hashes, and nothing else but PyTorch."""

from __future__ import annotations

import re
import subprocess

from deploy.release.artifacts import REPOSITORY


def planned(target: str) -> list[str]:
    """Commands of pip that make would run for a target."""
    done = subprocess.run(
        ["make", "--dry-run", "--always-make", target, "VENV=/nowhere"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    return [line for line in done.stdout.splitlines() if "-m pip" in line]


def test_by_hashes_first_then_pytorch_then_the_project() -> None:
    by_hashes, pytorch, project, checked = planned("install-locked")
    assert "--require-hashes --no-deps -r requirements.lock" in by_hashes
    found = re.search(r"\$\((grep [^)]*)\)", pytorch)
    assert found is not None
    asked = ["sh", "-c", found[1]]
    named = subprocess.run(asked, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert re.fullmatch(r"torch[<>=]\S+\n", named.stdout), "one line, and of no other package"
    assert "--no-deps --no-build-isolation -e ." in project
    assert "pip check" in checked, "a package that the lock lacks is named"


def test_ci_installs_so_before_all_else() -> None:
    text = (REPOSITORY / ".ci" / "run").read_text()
    commands = [line for line in text.splitlines() if line.startswith("make ")]
    assert commands[0] == "make install-locked"
    assert "make install" not in commands
