"""What a document asks of each program: refused where the program would not understand.

What is looked at, by program:

* ours: the real parser, to the last option;
* `kubectl` and `helm`: the rendered chart, our definitions, files of the repository;
* `make`: `make -n` with the real Makefile, and each call of ours in what it would run;
* `curl`: its options; `tests/integration/docs` sends the request.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import tomllib
from typing import Any

import typer

from deploy.release.__main__ import _parse as parse_release
from services.cli import application
from services.cli.kubectl import application as kubectl
from tests.unit.docs.blocks import REPO
from tests.unit.docs.kubernetes_calls import check_helm, check_kubectl
from tests.unit.docs.shell import Call

PROGRAMS = {"harmony": application.app, "kubectl harmony": kubectl.app}
_CURL = {"-X": 1, "-H": 1, "-d": 1, "--data-binary": 1, "-N": 0, "-sS": 0}
_MAKE_VARIABLE = re.compile(r"([A-Z_]+)=(.*)", re.S)


def parse(program: str, arguments: list[str], *, is_whole: bool = True) -> None:
    """Parse a call of ours to its last option without running it.

    Where it is not whole, words that all name commands are enough.
    """
    command: Any = typer.main.get_command(PROGRAMS[program])
    words, context = list(arguments), None
    while hasattr(command, "resolve_command") and words:
        context = command.make_context(program, list(words), parent=context)
        _, command, words = command.resolve_command(context, words)
    if not hasattr(command, "resolve_command") and (words or is_whole):
        command.make_context(command.name, words, parent=context).close()


def check(call: Call) -> None:
    """See that a program would understand a call.

    Raises:
        Exception: It would not; the text says what of it.
    """
    arguments = list(call.arguments)
    if call.program == "harmony":
        parse("harmony", arguments)
    elif call.program == "kubectl" and arguments[:1] == ["harmony"]:
        parse("kubectl harmony", arguments[1:])
    elif call.program == "kubectl":
        check_kubectl(arguments, _in_pod)
    elif call.program == "helm":
        check_helm(arguments)
    else:
        _OTHERS[call.program](arguments)


def _in_pod(arguments: list[str]) -> None:
    if arguments[0] != "harmony":
        raise ValueError(f"{arguments[0]} is not in the image")
    parse("harmony", arguments[1:])


def _make(arguments: list[str]) -> None:
    """Ask make itself; a variable that the Makefile does not read is refused."""
    text = (REPO / "Makefile").read_text()
    for word in arguments:
        given = _MAKE_VARIABLE.fullmatch(word)
        if given and f"$({given[1]})" not in text and f"$(or $({given[1]})" not in text:
            raise ValueError(f"the Makefile reads no {given[1]}")
    check_recipe(planned(arguments))


def planned(arguments: list[str]) -> str:
    """What make would run, each command on a line of its own.

    Raises:
        ValueError: It would refuse.
    """
    command = ["make", "--no-print-directory", "-n", "-C", str(REPO), *arguments]
    # what the tests' own make was called with (`make test ARGS=tests/unit`) is nothing to this one
    own = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(command, env=own, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(done.stderr.strip())
    return done.stdout.replace("\\\n", " ")


def check_recipe(recipe: str) -> None:
    """See that we would understand each call of ours; in a loop, the first of its turns."""
    for line in recipe.splitlines():
        ours = re.search(r"\.venv/bin/harmony ([^|;]*?)(?: \|\| exit 1)?(?:;.*)?$", line)
        if ours:
            call = ours[1]
            for name, first in re.findall(r"for (\w+) in (?:\$\(seq )?(\w+)", line):
                call = call.replace(f"${name}", first)
            parse("harmony", shlex.split(call))


def _docker(arguments: list[str]) -> None:
    if arguments[:2] == ["compose", "logs"]:
        return
    if arguments[0] == "build":
        file = arguments[arguments.index("-f") + 1]
        if not (REPO / file).is_file():
            raise ValueError(f"{file}: no such file")
    elif arguments[0] != "push":
        raise ValueError(f"docker {arguments[0]}: no test knows it")


def _pip(arguments: list[str]) -> None:
    extras = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    for name in re.findall(r"\.\[(\w+)\]", " ".join(arguments)):
        if name not in extras["optional-dependencies"]:
            raise ValueError(f"pyproject.toml has no extra {name}")


def _python(arguments: list[str]) -> None:
    if arguments[:2] == ["-m", "deploy.release"]:
        try:
            parse_release(arguments[2:])
        except SystemExit as error:
            raise ValueError(f"deploy.release refuses {arguments[2:]}") from error
    elif arguments[0] == "-":
        compile(arguments[1], "document", "exec")
    else:
        raise ValueError(f"python {arguments}: no test knows it")


def _curl(arguments: list[str]) -> None:
    request(arguments)


def request(arguments: list[str]) -> dict[str, Any]:
    """Method, URL, headers and body of a call of curl."""
    found: dict[str, Any] = {"method": "", "headers": {}, "content": None}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            found["url"] = word
        elif word not in _CURL:
            raise ValueError(f"curl {word}: no test knows it")
        elif word == "-X":
            found["method"] = rest.pop(0)
        elif word == "-H":
            name, _, value = rest.pop(0).partition(": ")
            found["headers"][name] = value
        elif _CURL[word]:
            found["content"] = rest.pop(0)
    found["method"] = found["method"] or ("POST" if found["content"] else "GET")
    return found


def _known(_: list[str]) -> None:
    """Programs that are not ours and not here: their options cannot be looked at."""


_OTHERS = {
    "make": _make, "docker": _docker, "pip": _pip, "python": _python, "curl": _curl,
    "uuidgen": _known, "jsonnet": _known, "cosign": _known, "pg_dump": _known, "pg_restore": _known,
}  # fmt: skip
