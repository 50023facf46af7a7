"""Processes as blocks: statements without a wait, and the end of each block."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Any

ESCAPES = ""
"""Among the names of procedures: where an actor goes on when Python raises what is suppressed."""


@dataclass(eq=False, slots=True)
class Block:
    """Statements that are carried out one after the other, without waiting."""

    where: str  # procedure, file and line of the process
    code: list[ast.stmt] = field(default_factory=list)
    end: Goto | Branch | Wait | Ask | Return | Finish | None = None


@dataclass(slots=True)
class Goto:
    """Go on with a block; where it begins a procedure, `back` is where that returns to."""

    to: Block
    back: Block | None = None


@dataclass(slots=True)
class Branch:
    """Go on with one of two blocks."""

    test: ast.expr
    yes: Block
    no: Block


@dataclass(slots=True)
class Wait:
    """Wait; go on with a block when that is over, or with another if somebody interrupts."""

    how: ast.expr
    after: Block
    interrupted: Block | None = None
    cause: str = ""  # variable that takes the cause of an interrupt


@dataclass(slots=True)
class Ask:
    """Let Python do something, and go on with a block; None: it raises."""

    number: int
    arguments: list[ast.expr]
    after: Block | None


@dataclass(slots=True)
class Return:
    """Go on where a procedure was called from."""

    procedure: str


@dataclass(slots=True)
class Finish:
    """The process is over."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What compiled code asks of Python."""

    function: Any
    returns: bool
    where: str
    takes: int = 0  # how many numbers, in fields `asked_0` and so on of the actor


def successors(block: Block, returns_to: dict[str, list[Block]]) -> list[Block]:
    """Return the blocks with which an actor may go on behind a block; `returns_to`: those of
    calls.
    """
    match block.end:
        case Goto(to, _):
            return [to]
        case Branch(_, yes, no):
            return [yes, no]
        case Wait(_, after, interrupted, _):
            return [after] if interrupted is None else [after, interrupted]
        case Ask(_, _, after):
            return ([] if after is None else [after]) + returns_to.get(ESCAPES, [])
        case Return(procedure):
            return returns_to[procedure]
    return []


def names_read(node: ast.AST, variables: frozenset[str] | set[str]) -> set[str]:
    """Return the variables that an expression reads."""
    return {
        one.id
        for one in ast.walk(node)
        if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load) and one.id in variables
    }


def exposed(code: list[ast.stmt], variables: set[str]) -> tuple[set[str], set[str]]:
    """Return the variables that statements read before they set them, and those that they set for
    sure.
    """
    reads: set[str] = set()
    sets: set[str] = set()
    for one in code:
        if isinstance(one, ast.If):
            inside = [exposed(one.body, variables), exposed(one.orelse, variables)]
            new, made = names_read(one.test, variables), inside[0][1] & inside[1][1]
            new |= (inside[0][0] | inside[1][0]) - names_set(one.test, variables)
        elif isinstance(one, ast.For):
            new = names_read(one.iter, variables)
            new |= exposed(one.body, variables)[0] - names_set(one.target, variables)
            made = set()
        elif isinstance(one, ast.While):
            new, made = names_read(one.test, variables), set()
            new |= exposed(one.body, variables)[0] - names_set(one.test, variables)
        else:
            new, made = names_read(one, variables), names_set(one, variables)
            if isinstance(one, ast.AugAssign):
                new |= names_set(one.target, variables)
        reads |= new - sets
        sets |= made
    return reads, sets


def names_set(node: ast.AST, variables: set[str]) -> set[str]:
    """Return the variables that are assigned to anywhere in a piece of code."""
    return {
        one.id
        for one in ast.walk(node)
        if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store) and one.id in variables
    }


def end_reads(block: Block, variables: set[str]) -> set[str]:
    """Return the variables that the end of a block reads."""
    match block.end:
        case Branch(test, _, _):
            return names_read(test, variables)
        case Wait(how, _, _, _):
            return names_read(how, variables)
        case Ask(_, arguments, _):
            return {name for one in arguments for name in names_read(one, variables)}
    return set()
