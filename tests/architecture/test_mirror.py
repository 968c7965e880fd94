"""Modules have their tests at the mirrored path, and what measures these tests measures right."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.architecture.mirror import (
    LIST,
    MIN_SHARE_WITH_TESTS,
    REPO,
    difference,
    list_text,
    mirrored_tests,
    modules,
    read_list,
    rewrite,
    without_tests,
)
from tests.architecture.mirror_fault import choose, faults
from tests.architecture.mirror_measure import Bench, load, store, totals
from tests.architecture.plugins import WITHOUT_PLUGINS

LONG = "x = 1\n" * 20
PLACES = [
    ("services/admin/fleet/page.py", "tests/unit/admin/fleet/test_page.py"),
    ("services/admin/fleet/page.py", "tests/integration/admin/fleet/test_page_rights.py"),
    ("services/worker/__main__.py", "tests/unit/worker/test_main.py"),
    ("decider/belief/model.py", "tests/statistical/decider/belief/test_model.py"),
    ("forecaster/types.py", "tests/unit/forecaster/test_types.py"),
]


def write(folder: Path, path: str, text: str = LONG) -> None:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_text(text)


def test_every_module_has_tests_or_is_listed() -> None:
    assert difference(REPO, read_list(LIST)).unlisted == ()


def test_the_list_names_only_modules_without_tests() -> None:
    found = difference(REPO, read_list(LIST))
    assert (found.tested, found.gone) == ((), ())
    assert LIST.read_text() == list_text(read_list(LIST))


def test_most_modules_have_tests() -> None:
    share = 1 - len(without_tests(REPO)) / len(modules(REPO))
    assert share >= MIN_SHARE_WITH_TESTS


@pytest.mark.parametrize(("module", "test"), PLACES)
def test_a_planted_module_needs_a_test_at_its_path(tmp_path: Path, module: str, test: str) -> None:
    write(tmp_path, module)
    assert difference(tmp_path, []).unlisted == (module,)
    write(tmp_path, test)
    assert mirrored_tests(tmp_path, module) == (test,)
    assert difference(tmp_path, []).unlisted == ()
    assert difference(tmp_path, [module]).tested == (module,)


@pytest.mark.parametrize(
    "test",
    [
        "tests/unit/admin/test_page.py",
        "tests/unit/services/admin/fleet/test_page.py",
        "tests/unit/admin/fleet/test_pages.py",
        "tests/unit/admin/fleet/page.py",
        "tests/e2e/admin/fleet/test_page.py",
    ],
)
def test_a_test_off_the_path_is_not_a_modules(tmp_path: Path, test: str) -> None:
    write(tmp_path, "services/admin/fleet/page.py")
    write(tmp_path, test)
    assert without_tests(tmp_path) == ["services/admin/fleet/page.py"]


def test_a_test_is_of_the_module_with_the_longest_fitting_name(tmp_path: Path) -> None:
    write(tmp_path, "services/operator/plan/variant.py")
    write(tmp_path, "services/operator/plan/variant_plan.py")
    write(tmp_path, "tests/unit/operator/plan/test_variant_plan_order.py")
    assert without_tests(tmp_path) == ["services/operator/plan/variant.py"]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("services/admin/__init__.py", LONG),
        ("services/scaler/proto/externalscaler_pb2_grpc.py", LONG),
        ("services/kernel/db/migrations/versions/0001_first.py", LONG),
        ("decider/short.py", "x = 1\n" * 19),
        ("tests/unit/other.py", LONG),
    ],
)
def test_exempt_modules_need_no_tests(tmp_path: Path, path: str, text: str) -> None:
    write(tmp_path, path, text)
    assert modules(tmp_path) == []


def test_the_list_shrinks_and_follows_moves_but_does_not_grow(tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    write(tmp_path, "decider/one.py")
    write(tmp_path, "decider/two.py")
    assert rewrite(tmp_path, listed) == []
    assert read_list(listed) == ["decider/one.py", "decider/two.py"]

    write(tmp_path, "decider/three.py")
    assert rewrite(tmp_path, listed) == ["decider/three.py"]
    assert read_list(listed) == ["decider/one.py", "decider/two.py"]

    (tmp_path / "decider/two.py").unlink()
    assert difference(tmp_path, read_list(listed)).gone == ("decider/two.py",)
    assert rewrite(tmp_path, listed) == []
    assert read_list(listed) == ["decider/one.py", "decider/three.py"]

    write(tmp_path, "tests/unit/decider/test_one.py")
    assert rewrite(tmp_path, listed) == []
    assert read_list(listed) == ["decider/three.py"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f(a, b):\n    return a < b", {"return None", "return (not (a < b))"}),
        ("def f(a, b):\n    a += b", {"pass"}),
        ("def f(a, b):\n    a = a + b", {"a = ((a) - (b))"}),
        ("def f(a, b):\n    a = b or not b", {"a = ((b) and (not b))", "a = b or (b)"}),
        ("def f(a):\n    if a: pass", {"if (not (a)): pass"}),
        ("def f(é, b):\n    é = 'é' * é", {"é = (('é') / (é))"}),
        ("def f(a):\n    a.b = 1", {"pass"}),
        ("def f(a):\n    a.close()", {"pass"}),
        ("X = {1: 'a', 2: b}", {"X = {1: 'a'}", "X = {2: 'a', 2: b}", "X = {1: 'a', 3: b}"}),
        ("X = (1, 'b')", {"X = (1,)", "X = (2, 'b')"}),
    ],
)  # fmt: skip
def test_faults_change_what_a_line_does(source: str, expected: set[str]) -> None:
    n_lines = source.count("\n") + 1
    planted = [fault.planted(source) for fault in faults(source, range(1, n_lines + 1))]
    assert {text.splitlines()[-1].strip() for text in planted} == expected
    for text in planted:
        assert ast.dump(ast.parse(text)) != ast.dump(ast.parse(source))


@pytest.mark.parametrize(
    "source",
    [
        '"""Text."""',
        'def f(a):\n    """Text."""\n    log.info("a", n=a + 1)',
        'def f(a):\n    raise ValueError(f"{a + 1}")',
        "def f(a: int = 1 + 1) -> dict[str, int]:\n    pass",
        "def f():\n    return None",
        "if TYPE_CHECKING:\n    x = 1",
        "if __name__ == '__main__':\n    f(1 + 1)",
        "@cache(1 + 1)\ndef f():\n    pass",
        "__all__ = ['a', 'b']",
        "X = dict[str, int]",
        "parser = Parser(help='a' + 'b')",
    ],
)
def test_faults_leave_texts_types_and_logs_alone(source: str) -> None:
    assert faults(source, range(1, source.count("\n") + 2)) == []


def test_a_fault_is_planted_where_the_tests_were_and_always_the_same() -> None:
    source = "".join(f"def f{n}(a):\n    return a + {n}\n" for n in range(50))
    assert {fault.line for fault in faults(source, {4, 8})} == {4, 8}
    assert choose(source, set(), "decider/one.py") is None
    chosen = {choose(source, range(101), f"decider/{name}.py") for name in ("one", "one", "two")}
    assert len(chosen) == 2


BRANCH = "def larger(a, b):\n    if a < b:\n        return b\n    return a\n"
BLANK = "\n" * 20
TESTS = {
    "strong": "assert larger(1, 2) == 2\n    assert larger(2, 1) == 2",
    "weak": "larger(1, 2)",
    "red": "assert larger(1, 2) == 1",
}


@pytest.mark.slow
def test_a_module_counts_when_its_tests_run_it_and_see_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a copy of the tree has our settings, by which no plugin is loaded that no test needs
    monkeypatch.setenv("PYTEST_ADDOPTS", " ".join(WITHOUT_PLUGINS))
    write(tmp_path, "decider/__init__.py", "")
    results = {}
    for name, body in TESTS.items():
        module, test = f"decider/{name}.py", f"tests/unit/decider/test_{name}.py"
        write(tmp_path, module, BRANCH + BLANK)
        write(tmp_path, test, f"from decider.{name} import larger\n\ndef test():\n    {body}\n")
        results[module] = Bench(tmp_path, limit_seconds=120).measure(module)
        assert (tmp_path / module).read_text() == BRANCH + BLANK
    strong, weak, red = results.values()
    assert (strong.coverage, strong.is_caught, strong.verdict) == (1.0, True, "counts")
    assert (weak.coverage, weak.is_caught) == (0.75, False)
    assert red.verdict == "its tests fail as it is"
    assert totals(results) == {"modules": 3, "with_tests": 3, "counting": 1, "share": 0.3333}
    store(tmp_path / "results.json", results)
    assert load(tmp_path / "results.json") == results
