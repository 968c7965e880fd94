"""Tables for people, JSON for machines, and the files of options that are read and written."""

from __future__ import annotations

import errno
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from services.kernel.domain.figures import plain
from services.kernel.domain.json_values import null_where_unknown
from services.kernel.errors import InvalidInput
from services.kernel.security.printable import without_escapes
from services.kernel.whole_files import write_whole

PIPE_WIDTH = 200
"""Columns where the output is no terminal: a pipe has no width, and a cut table says nothing."""
DISTRIBUTION = "harmony-gpu"
HELP_WIDTH = 110
_CLAIMS = "harmony.claims"
PICTURES = (".png", ".svg", ".pdf")
HELP: dict[str, Any] = {
    "help_option_names": ["-h", "--help"],
    "max_content_width": HELP_WIDTH,
}
"""Context of both programs: how help is asked for, and how wide it may be."""


class PlainConsole(Console):
    """Shows text as it is: no markup, no emoji by name, and no escapes but its own.

    Most of what is shown was stored by others, as names, reasons and annotations.
    """

    def __init__(self, width: int | None = None) -> None:
        """A console on stdout, `width` columns wide; None: as wide as the terminal."""
        super().__init__(width=width, markup=False, emoji=False)

    def render_str(self, text: str, **styled: Any) -> Text:
        """A string as it is shown; replaced before it is measured, so that none of it is cut."""
        return super().render_str(without_escapes(text), **styled)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Pieces of what is shown, all of it: what is printed, and what moves below."""
        if isinstance(renderable, Text):
            renderable = renderable.copy()
            renderable.plain = without_escapes(renderable.plain)
        for piece in super().render(renderable, options):
            yield piece if piece.control else Segment(without_escapes(piece.text), piece.style)


console = PlainConsole(None if sys.stdout.isatty() else PIPE_WIDTH)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        print(f"harmony {metadata.version(DISTRIBUTION)}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version."),
]


def print_json(value: object) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(_written(value))


def write_json(path: Path | None, document: Mapping[str, Any]) -> None:
    """The document of `--json FILE`; `-` is stdout, None nothing."""
    if path is None:
        return
    if str(path) == "-":
        print_json(document)
        return
    write_whole(path, _written(document))


def writable(ctx: typer.Context, param: typer.CallbackParam, path: Path | None) -> Path | None:
    """The file of an option, seen to be one that can be written, before the work; `-` is stdout.

    Raises:
        InvalidInput: It is a folder, lies in a place where nothing can be written, or is a file
            that the command reads or writes for another option.
    """
    if path is None or str(path) == "-":
        return path
    flag = param.opts[0]
    if path.is_dir():
        raise InvalidInput(f"{flag}={path}: is a folder; name a file in it")
    _claim_written(ctx, flag, path)
    there = next(parent for parent in path.absolute().parents if parent.exists())
    place = path if path.exists() else there
    try:
        _try_to_write(place, is_there=path.exists())
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise InvalidInput(
            f"{flag}={path}: cannot be written, {place} does not allow it: {why}"
        ) from error
    return path


def streamed(ctx: typer.Context, param: typer.CallbackParam, path: Path | None) -> Path | None:
    """The file of an option of which `-` is stdout: what is said to people then goes to stderr.

    Raises:
        InvalidInput: It cannot be written.
    """
    if path is not None and str(path) == "-":
        console.stderr = True
        ctx.call_on_close(_say_on_stdout)
    return writable(ctx, param, path)


def _say_on_stdout() -> None:
    console.stderr = False


def named(ctx: typer.Context, param: typer.CallbackParam, path: Path | None) -> Path | None:
    """The file of an option that never goes to stdout, seen to be one that can be written.

    Raises:
        InvalidInput: It is `-`, which would make a file of that name, or cannot be written.
    """
    if path is not None and str(path) == "-":
        raise InvalidInput(f"{param.opts[0]}=-: cannot go to stdout; name a file")
    return writable(ctx, param, path)


def folder(ctx: typer.Context, param: typer.CallbackParam, path: Path | None) -> Path | None:
    """The folder of an option, seen to take files, or one that can be made, before the work.

    Raises:
        InvalidInput: It is a file, takes none, or lies in a place where no folder can be made.
    """
    if path is None or not path.exists():
        return writable(ctx, param, path)
    flag = param.opts[0]
    if not path.is_dir():
        raise InvalidInput(f"{flag}={path}: is no folder; name one")
    try:
        _try_to_write(path, is_there=False)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise InvalidInput(f"{flag}={path}: takes no file: {why}") from error
    return path


def picture(ctx: typer.Context, param: typer.CallbackParam, path: Path | None) -> Path | None:
    """The file of an option that draws, seen to be one of a kind that can be drawn.

    Raises:
        InvalidInput: Its name tells of no such kind, or it cannot be written.
    """
    path = writable(ctx, param, path)
    if path is not None and path.suffix.lower() not in PICTURES:
        kinds = ", ".join(PICTURES)
        raise InvalidInput(f"{param.opts[0]}={path}: its name must end in one of {kinds}")
    return path


def _try_to_write(place: Path, *, is_there: bool) -> None:
    """Open a file that is there, or make one in a folder that nobody sees.

    Rights alone do not tell: root has them all, and a folder of the kernel takes no file.

    Raises:
        OSError: It cannot be done.
    """
    if not is_there:
        tempfile.TemporaryFile(dir=place).close()
    elif place.is_file():
        os.close(os.open(place, os.O_WRONLY))
    elif not os.access(place, os.W_OK):  # a pipe or a terminal, which is not to be opened twice
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@dataclass(frozen=True, slots=True)
class _Claim:
    """A file of an option.

    Attributes:
        path: Where it is, links followed.
        given: The option as it was given.
        against: What is wrong with writing to it too.
        is_read: It is read, not written.
    """

    path: Path
    given: str
    against: str
    is_read: bool


def _claim_written(ctx: typer.Context, flag: str, path: Path) -> None:
    """Note a file that will be written.

    Raises:
        InvalidInput: It is also read, or written by another option.
    """
    if path.exists() and not path.is_file():  # a pipe, a terminal
        return
    _note(ctx, _Claim(path.resolve(), f"{flag}={path}", f"is the file of {flag} too", False))


def read_from(
    ctx: typer.Context, param: typer.CallbackParam, value: Path | list[Path] | None
) -> Path | list[Path] | None:
    """The file or files of an option that are read, with the metadata beside them.

    Raises:
        InvalidInput: One of them is also written.
    """
    for path in _paths(value):
        given = f"{param.opts[0]}={path}"
        _note(ctx, _Claim(path.resolve(), given, "is the file that is read", True))
        beside = path.with_suffix(".json") if path.name else path
        if beside != path:
            against = f"is read as the metadata of {path.name}; name another file"
            _note(ctx, _Claim(beside.resolve(), given, against, True))
    return value


def _paths(value: Path | list[Path] | None) -> Sequence[Path]:
    if value is None:
        return ()
    return (value,) if isinstance(value, Path) else value


def _note(ctx: typer.Context, claim: _Claim) -> None:
    claims: list[_Claim] = ctx.meta.setdefault(_CLAIMS, [])
    for other in claims:
        if (claim.is_read and other.is_read) or not _is_same(claim.path, other.path):
            continue
        written, at_odds = (other, claim) if claim.is_read else (claim, other)
        raise InvalidInput(f"{written.given}: {at_odds.against}")
    claims.append(claim)


def _is_same(one: Path, other: Path) -> bool:
    return one == other or (one.exists() and other.exists() and one.samefile(other))


def print_table(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """A table whose columns are the keys of the first row; says so when there is none."""
    if not rows:
        console.print(f"{title}: nothing yet")
        return
    table = Table(title=title, title_justify="left", header_style="bold")
    for name in rows[0]:
        table.add_column(name)
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    console.print(table)


def _cell(value: object) -> str:
    """A value as a table shows it; what is not known is a dash, never a number."""
    if value is None or value != value:  # NaN is the one that is not itself
        return "–"
    return plain(value) if isinstance(value, float) else str(value)


def _written(value: object) -> str:
    return json.dumps(null_where_unknown(value), default=_encode, indent=2, allow_nan=False) + "\n"


def _encode(value: object) -> object:
    if isinstance(value, datetime | date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is not JSON-able")


def print_rows(title: str, rows: Sequence[Mapping[str, object]], is_markdown: bool) -> None:
    """A table for the terminal, or one for a document."""
    from services.lab.bench.forecast.report import markdown

    if is_markdown and rows:
        console.print(f"\n{title}\n\n{markdown(rows)}\n", soft_wrap=True, markup=False)
    else:
        print_table(title, rows)
