"""Shell blocks are run by bash, and each program would understand what it is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.docs import shell
from tests.unit.docs.blocks import Block, in_language
from tests.unit.docs.calls import check

SHELL = in_language("sh")


def refusals(text: str, folder: Path) -> list[str]:
    """What is wrong with a block, a line for each call."""
    try:
        calls = shell.run(text, folder)
    except ValueError as error:
        return [str(error)]
    found = []
    for call in calls:
        try:
            check(call)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - each parser has its own
            if getattr(error, "exit_code", 1) != 0:  # `--help` ends a program, and well
                found.append(f"{call}: {getattr(error, 'message', None) or error}")
    return found


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_each_program_understands_what_it_is_asked_for(block: Block, tmp_path: Path) -> None:
    assert refusals(block.text, tmp_path) == []


def test_calls_are_found_as_bash_reads_them(tmp_path: Path) -> None:
    text = (
        "export WHO='a b'   # a comment\n"
        'harmony explain "$WHO" \\\n  --json | kubectl get gpua\n'
        "python - <<'END'\nprint(1)\nEND\n"
    )
    calls = sorted(map(str, shell.run(text, tmp_path)))
    assert calls == ["harmony explain a b --json", "kubectl get gpua", "python - print(1)"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("harmony backtest mine.csv --repot page.html", "No such option"),
        ("harmony keys create", "Missing"),
        ("harmonize", "no such program: harmonize"),
        ("harmony explain $WHICH", "unbound variable"),
        ("kubectl apply -f deploy/examples/none.yaml", "no such file"),
        ("kubectl -n harmony rollout status deployment/harmony-api", "no deployment 'harmony-api'"),
        ("kubectl get gpux", "no resource 'gpux'"),
        ("kubectl exec deployment/harmony-beat -- harmony model list", "No such command"),
        ('kubectl patch gpua chat --type merge -p \'{"spec":{"mode":"On"}}\'', "'On' is not"),
        ('kubectl patch gpua chat --type merge -p \'{"spec":{"mod":"Auto"}}\'', "no such field"),
        ("kubectl port-forward service/harmony-admin 8080:web", "no port 'web'"),
        ("kubectl logs -l app.kubernetes.io/component=boss", "nothing in a release"),
        ("helm install harmony helm/harmony --set settings.promtheus_url=x", "promtheus_url"),
        ("helm upgrade harmony helm/harmony --reuse", "unknown option --reuse"),
        ("make demos", "No rule to make target"),
        ("make demo ARGS=--quack", "No such option"),
        ("make demo DATUM=x", "reads no DATUM"),
        ("pip install -e '.[benches]'", "no extra benches"),
        ("python -m deploy.release sign x", "refuses"),
        ("docker build -f Dockerfile .", "no such file"),
    ],
)
def test_a_lie_would_be_found(wrong: str, said: str, tmp_path: Path) -> None:
    (found,) = refusals(wrong, tmp_path)
    assert said in found
