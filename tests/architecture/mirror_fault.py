"""Faults to plant in a module: one small change each, of what the module does.

A comparison is negated, `+` and `-` or `and` and `or` change places, a function returns nothing, a
statement is dropped. Where no line inside a function offers one, a value of the module's level
changes: a number, a truth, the last entry of a collection, a field of a class. Left alone is what
no test should be held to: docstrings, annotations, decorators, texts, logs, errors' messages and
what only type checkers or the command line read.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

OPPOSITES: dict[type[ast.operator], str] = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "/",
    ast.Div: "*",
    ast.FloorDiv: "*",
}
LOG_METHODS = {"debug", "info", "warning", "error", "exception", "critical"}
TEXT_ARGUMENTS = {"help", "description", "title", "summary", "detail", "message", "prog"}
SILENT = (ast.Raise, ast.Assert, ast.JoinedStr, ast.Lambda, ast.Import, ast.ImportFrom)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
UNREAD_FIELDS = {"annotation", "returns", "decorator_list", "args", "bases", "keywords", "type"}


@dataclass(frozen=True, slots=True)
class Fault:
    """One change of a module's text.

    Attributes:
        line: First line of the statement that changes.
        what: What is done there, for a reader.
        start: Where the changed text begins, in bytes of the module in UTF-8.
        end: Where it ends.
        text: What stands there instead.
    """

    line: int
    what: str
    start: int
    end: int
    text: str

    def planted(self, source: str) -> str:
        """The module's text with the fault."""
        data = source.encode()
        return (data[: self.start] + self.text.encode() + data[self.end :]).decode()


@dataclass(frozen=True, slots=True)
class Place:
    """A node of the syntax tree and where it stands.

    Attributes:
        node: The node.
        line: First line of the innermost statement around it.
        is_in_function: Says that it runs when a function does, and not on import.
    """

    node: ast.AST
    line: int
    is_in_function: bool


@dataclass(frozen=True, slots=True)
class Change:
    """What is to stand in the place of a node.

    Attributes:
        node: The expression or statement that changes.
        text: What stands there instead.
    """

    node: ast.expr | ast.stmt
    text: str


def choose(source: str, lines_run: Collection[int], name: str) -> Fault | None:
    """Choose one fault at a line that ran, always the same for one name; None where none is."""
    found = faults(source, lines_run)
    return random.Random(name).choice(found) if found else None


def faults(source: str, lines_run: Collection[int]) -> list[Fault]:
    """Faults at lines that ran, in functions, or of the module where those have none."""
    places = [place for place in walk(ast.parse(source)) if place.line in lines_run]
    inside = found_at(source, [p for p in places if p.is_in_function], changes_inside)
    return inside or found_at(source, [p for p in places if not p.is_in_function], changes_outside)


def found_at(
    source: str, places: list[Place], changes: Callable[[ast.AST], Iterator[Change]]
) -> list[Fault]:
    """Faults that a rule finds at some places."""
    pairs = [(place, change) for place in places for change in changes(place.node)]
    return sorted(
        (fault_of(source, place.line, change) for place, change in pairs),
        key=lambda fault: (fault.start, fault.end, fault.text),
    )


def fault_of(source: str, line: int, change: Change) -> Fault:
    """Put a change in terms of the module's text."""
    node, starts = change.node, [0]
    for row in source.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(row))
    start = starts[node.lineno - 1] + node.col_offset
    end = starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
    old = " ".join(source.encode()[start:end].decode().split())
    return Fault(line, f"{shortened(old)} -> {shortened(change.text)}", start, end, change.text)


def shortened(text: str, n_characters: int = 60) -> str:
    """Text cut to a length."""
    return text if len(text) <= n_characters else f"{text[: n_characters - 3]}..."


def walk(tree: ast.Module) -> Iterator[Place]:
    """Every node that may carry a fault."""

    def below(node: ast.AST, line: int, is_in_function: bool) -> Iterator[Place]:
        if is_left_alone(node):
            return
        if isinstance(node, ast.stmt):
            line = node.lineno
        yield Place(node, line, is_in_function)
        is_function = isinstance(node, FUNCTIONS)
        for field, value in ast.iter_fields(node):
            is_unread = field in UNREAD_FIELDS and not isinstance(node, ast.Call)
            is_unread |= field == "slice" and not is_in_function  # types: `dict[str, int]`
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST) and not is_unread:
                    yield from below(child, line, is_in_function or is_function)

    yield from below(tree, 1, is_in_function=False)


def is_left_alone(node: ast.AST) -> bool:
    """Says that nothing in a node may change: texts, logs, errors, what only checkers read."""
    if isinstance(node, ast.keyword):
        return node.arg in TEXT_ARGUMENTS
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) or is_log(node.value)
    if isinstance(node, ast.If):
        return bool({"TYPE_CHECKING", "__name__"} & names_in(node.test))
    if isinstance(node, ast.Assign):
        return any("__all__" in names_in(target) for target in node.targets)
    return isinstance(node, SILENT)


def names_in(node: ast.AST) -> set[str]:
    """Names and attributes that an expression mentions."""
    found = {child.id for child in ast.walk(node) if isinstance(child, ast.Name)}
    return found | {child.attr for child in ast.walk(node) if isinstance(child, ast.Attribute)}


def is_log(node: ast.expr) -> bool:
    """Says that an expression writes to a log."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    return node.func.attr in LOG_METHODS and any("log" in n for n in names_in(node.func.value))


def changes_inside(node: ast.AST) -> Iterator[Change]:
    """Changes of what a function does at one node."""
    match node:
        case ast.Compare():
            yield Change(node, f"(not ({ast.unparse(node)}))")
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield Change(node, f"({ast.unparse(operand)})")
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPPOSITES:
            sign = OPPOSITES[type(op)]
            yield Change(node, f"(({ast.unparse(left)}) {sign} ({ast.unparse(right)}))")
        case ast.BoolOp(op=op, values=values):
            word = " and " if isinstance(op, ast.Or) else " or "
            yield Change(node, f"({word.join(f'({ast.unparse(value)})' for value in values)})")
        case ast.If(test=test) | ast.IfExp(test=test) if is_plain(test):
            yield Change(test, f"(not ({ast.unparse(test)}))")
        case ast.Return(value=ast.expr() as value) if not is_none(value):
            yield Change(node, "return None")
        case ast.Expr(value=ast.Call() | ast.Await()) | ast.AugAssign():
            yield Change(node, "pass")
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield Change(node, "pass")


def is_plain(test: ast.expr) -> bool:
    """Says that a condition is not changed by a rule of its own."""
    return isinstance(test, ast.Name | ast.Attribute | ast.Call | ast.Subscript)


def is_none(value: ast.expr) -> bool:
    """Says that an expression is the word None."""
    return isinstance(value, ast.Constant) and value.value is None


def changes_outside(node: ast.AST) -> Iterator[Change]:
    """Changes of what a module or a class says at one node."""
    match node:
        case ast.Constant(value=bool() as value):
            yield Change(node, str(not value))
        case ast.Constant(value=int() | float() as value):
            yield Change(node, str(value + 1))
        case ast.Tuple(elts=[*kept, _], ctx=ast.Load()) if kept:
            yield Change(node, ast.unparse(ast.Tuple(kept, ast.Load())))
        case ast.List(elts=[*kept, _]) if kept:
            yield Change(node, ast.unparse(ast.List(kept, ast.Load())))
        case ast.Set(elts=[*kept, _]) if kept:
            yield Change(node, ast.unparse(ast.Set(kept)))
        case ast.Dict(keys=[_, *_, _]):
            yield Change(node, ast.unparse(ast.Dict(node.keys[:-1], node.values[:-1])))
        case ast.AnnAssign(value=None):
            yield Change(node, "pass")
        case ast.Compare() | ast.BoolOp() | ast.BinOp():
            yield from changes_inside(node)
