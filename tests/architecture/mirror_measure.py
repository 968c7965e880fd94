"""Measure the mirror: which modules count as tested by the tests at their mirrored path.

`python -m tests.architecture.mirror_measure PREFIX... [--only unit] [--json FILE]` takes each
module whose path begins with a prefix, runs its mirrored tests alone under coverage, plants one
fault at a line that they ran and runs them again. A module counts when the tests pass, run at
least 70 % of its lines and fail with the fault. All runs take place in a copy of the tree; tests
marked `slow` are left out; lines that only child processes run are not seen.

With `--json` each result is stored as it comes, and a later run measures only those modules whose
text, tests or seed have changed and those that could not be measured. `--seed` draws other faults.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib.util import cache_from_source
from pathlib import Path

from tests.architecture.mirror import KINDS, REPO, mirrored_tests, modules
from tests.architecture.mirror_fault import Fault, choose

MIN_COVERAGE = 0.7
OUTSIDE = shutil.ignore_patterns(".git", ".venv", "build", "out", "__pycache__", ".*_cache")
PYTEST = ["pytest", "-q", "-x", "-m", "not slow", "-p", "no:cacheprovider", "--tb=no"]
PLUGIN = ["-p", "tests.architecture.mirror_plugin", "--hypothesis-profile=mirror"]
ALL_SLOW = 5  # pytest: no test was collected
TIMED_OUT = -1


@dataclass(frozen=True, slots=True)
class Result:
    """What the mirrored tests of one module do.

    Attributes:
        module: Path of the module.
        tests: Paths of its test files; empty where it has none.
        digest: Digest of the module, its tests and the seed, to tell a stale result.
        coverage: Share of the module's lines that the tests run, 0 to 1.
        fault: The fault that was planted; empty where there was none to plant.
        is_caught: Says that the tests fail with the fault.
        trouble: Why it could not be measured; empty where it could.
        seconds: Wall time of the measurement.
    """

    module: str
    tests: tuple[str, ...]
    digest: str
    coverage: float = 0.0
    fault: str = ""
    is_caught: bool = False
    trouble: str = ""
    seconds: float = 0.0

    @property
    def counts(self) -> bool:
        """Says that the module counts as tested."""
        return self.coverage >= MIN_COVERAGE and self.is_caught

    @property
    def verdict(self) -> str:
        """Why a module counts or does not, for the table."""
        if not self.tests or self.trouble:
            return self.trouble or "no mirrored tests"
        reasons = [f"under {MIN_COVERAGE:.0%} of lines"] if self.coverage < MIN_COVERAGE else []
        reasons += [] if self.is_caught else [f"survives: {self.fault or 'nothing to plant'}"]
        return "; ".join(reasons) or "counts"


@dataclass(frozen=True, slots=True)
class Bench:
    """A copy of the tree to measure in.

    Attributes:
        folder: Root of the copy.
        limit_seconds: Longest time of one run of a module's tests.
        seed: What the choice of faults depends on beside the module's path.
        kinds: Kinds of tests that are run.
    """

    folder: Path
    limit_seconds: float
    seed: str = ""
    kinds: tuple[str, ...] = KINDS

    def digest(self, module: str, tests: tuple[str, ...]) -> str:
        """Digest of all that a result depends on within the module and its tests."""
        texts = [self.seed] + [(self.folder / path).read_text() for path in (module, *tests)]
        return hashlib.sha256("\0".join([*tests, *texts]).encode()).hexdigest()[:16]

    def unmeasured(self, module: str) -> Result:
        """The result of a module before anything is run."""
        tests = mirrored_tests(self.folder, module, self.kinds)
        return Result(module, tests, self.digest(module, tests))

    def measure(self, module: str) -> Result:
        """Run a module's tests as it is and with a fault."""
        started = time.monotonic()
        asked = self.unmeasured(module)
        data = self.folder / ".coverage"
        data.unlink(missing_ok=True)
        include = ["run", f"--include={self.folder / module}", f"--data-file={data}", "-m"]
        status = self.run(["coverage", *include, *PYTEST, *PLUGIN, *asked.tests])
        known = {**asdict(asked), "tests": asked.tests}
        if status:
            trouble = {ALL_SLOW: "all its tests are slow", TIMED_OUT: "over the time limit"}
            known["trouble"] = trouble.get(status, "its tests fail as it is")
            return Result(**{**known, "seconds": seconds_since(started)})
        n_lines, lines_run = self.lines(module, data)
        known["coverage"] = len(lines_run) / n_lines if n_lines else 0.0
        source = (self.folder / module).read_text()
        fault = choose(source, lines_run, module + self.seed)
        if fault is not None:
            allowed = ["--timeout", str(int(max(60, 5 * seconds_since(started))))]
            status = self.run_with(fault, module, [*PYTEST, *PLUGIN, *allowed, *asked.tests])
            known["fault"] = f"line {fault.line}: {fault.what}"
            known["is_caught"] = status not in (0, TIMED_OUT)
            known["trouble"] = "over the time limit, with a fault" if status == TIMED_OUT else ""
        return Result(**{**known, "seconds": seconds_since(started)})

    def lines(self, module: str, data: Path) -> tuple[int, set[int]]:
        """Number of a module's lines, and those that ran, by their line numbers."""
        from coverage import Coverage
        from coverage.exceptions import NoDataError

        measured = Coverage(data_file=str(data), config_file=False)
        measured.load()
        try:
            _, lines, _, missing, _ = measured.analysis2(str(self.folder / module))
        except NoDataError:
            return 0, set()
        return len(lines), set(lines) - set(missing)

    def run_with(self, fault: Fault, module: str, command: list[str]) -> int:
        """Run a command while the module has a fault."""
        path = self.folder / module
        source = path.read_text()
        # Python takes compiled code for fresh when time, in seconds, and size of the text agree.
        compiled = Path(cache_from_source(str(path)))
        try:
            path.write_text(fault.planted(source))
            compiled.unlink(missing_ok=True)
            return self.run(command)
        finally:
            path.write_text(source)
            compiled.unlink(missing_ok=True)

    def run(self, command: list[str]) -> int:
        """Run `python -m` in the copy; its exit status, or `TIMED_OUT`."""
        known = {"PYTHONPATH": os.pathsep.join([str(self.folder), str(REPO)])}
        traces = REPO.parent / "shared" / "data"
        defaults = {"OMP_NUM_THREADS": "1", "HARMONY_DATA_DIR": str(traces)}
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=self.folder,
            env={**defaults, **os.environ, **known},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            return process.wait(self.limit_seconds)
        except subprocess.TimeoutExpired:
            end(process)
            return TIMED_OUT


def end(process: subprocess.Popen[bytes], grace_seconds: float = 20.0) -> None:
    """End a run of tests: fixtures may stop their servers first, then all of it is killed."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(grace_seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def seconds_since(started: float) -> float:
    """Wall time since a moment of the monotonic clock, in s."""
    return round(time.monotonic() - started, 1)


def load(path: Path | None) -> dict[str, Result]:
    """Results of an earlier run by module; none where there was none."""
    if path is None or not path.exists():
        return {}
    rows = json.loads(path.read_text())["modules"]
    return {row["module"]: Result(**{**row, "tests": tuple(row["tests"])}) for row in rows}


def store(path: Path | None, results: dict[str, Result]) -> None:
    """Write results and totals to a file, if one is asked for."""
    if path is None:
        return
    rows = [asdict(results[module]) for module in sorted(results)]
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps({"modules": rows, "totals": totals(results)}, indent=1))
    unfinished.replace(path)


def totals(results: dict[str, Result]) -> dict[str, float]:
    """Numbers of modules, of those with tests, of those that count, and the share that counts."""
    n_tested = sum(bool(result.tests) for result in results.values())
    n_counting = sum(result.counts for result in results.values())
    share = round(n_counting / len(results), 4) if results else 0.0
    return {"modules": len(results), "with_tests": n_tested, "counting": n_counting, "share": share}


def row(result: Result) -> str:
    """One line of the table."""
    return f"{result.coverage:6.1%} {result.seconds:6.1f} s  {result.module}  {result.verdict}"


def arguments() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(prog="mirror_measure", description=__doc__)
    parser.add_argument("prefixes", nargs="*", default=[""], help="paths of modules begin so")
    parser.add_argument("--only", choices=KINDS, action="append", help="kinds of tests to run")
    parser.add_argument("--json", type=Path, help="file to store results in, and to go on from")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds for one run of tests")
    parser.add_argument("--seed", default="", help="draws other faults")
    return parser.parse_args()


def main() -> int:
    """Measure modules one after the other, with a line for each and totals at the end."""
    asked = arguments()
    with tempfile.TemporaryDirectory(prefix="harmony-mirror-") as temporary:
        folder = Path(temporary).resolve() / "tree"
        shutil.copytree(REPO, folder, ignore=OUTSIDE, symlinks=True)
        bench = Bench(folder, asked.limit, asked.seed, tuple(asked.only or KINDS))
        everything = modules(folder)
        wanted = [name for name in everything if name.startswith(tuple(asked.prefixes))]
        earlier = {name: known for name, known in load(asked.json).items() if name in everything}
        results = {name: bench.unmeasured(name) for name in wanted}
        for module, result in results.items():
            known = earlier.get(module)
            if known is not None and known.digest == result.digest and not known.trouble:
                results[module] = known
            elif result.tests:
                results[module] = bench.measure(module)
                store(asked.json, {**earlier, **results})
            print(row(results[module]), flush=True)
    store(asked.json, {**earlier, **results})
    print(json.dumps(totals(results)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
