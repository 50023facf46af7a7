"""The meaning of a process's words in compiled code: patterns and templates.

A rule is one line, ``pattern -> template``. Both are Python expressions. In a pattern a single
capital letter stands for any expression, and a name of `objects` for any expression of that kind
(``vm.now``: the attribute of any VM). The template is the expression that compiled code evaluates,
with the matched expressions in place of the pattern's names. ``me`` is the number of the actor of
the process, ``s`` the state of the run.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

NUMBER = ""
"""The kind of expressions that are whole numbers, truth values or, inside one, real numbers."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What stands for an expression that matches a pattern."""

    pattern: ast.expr
    template: ast.expr
    kind: str = NUMBER  # of the result
    value: ast.expr | None = None  # of a yield: what it returns; of an iteration: item number I


@dataclass(frozen=True, slots=True)
class PythonCall:
    """Something that is done in Python when compiled code comes to it."""

    pattern: ast.expr
    function: Callable[..., Any]  # of the run, the actor and the numbers that letters stood for
    letters: tuple[str, ...]
    native: ast.expr | None = None  # compiled code does this first; Python is wanted if it is false
    returns: bool = True  # False: the function raises or returns an exception to raise


@dataclass(slots=True)
class Vocabulary:
    """All that a weaver knows of a simulator."""

    objects: Mapping[str, str]
    """Names in patterns, and the kind of object that each stands for."""
    kinds: Mapping[str, str]
    """Annotations of parameters, and the kind of object; :data:`NUMBER` for plain numbers."""
    static: frozenset[str]
    """Kinds of which there is one in a run: they are no number in compiled code."""
    attributes: Mapping[str, str]
    """Kind -> template with ``X`` for the object and ``NAME`` for an attribute without a rule."""
    known: Mapping[str, frozenset[str]]
    """Kind -> attributes for which `attributes` holds."""
    functions: dict[Any, str] = field(default_factory=dict)
    """Python functions that are compiled as they are, and the name of each."""
    expressions: list[Rule] = field(default_factory=list)
    yields: list[Rule] = field(default_factory=list)
    iterations: list[Rule] = field(default_factory=list)
    python: list[PythonCall] = field(default_factory=list)
    interrupt: str = "Interrupt"  # the exception by which others interrupt a process
    place: str = "at"  # the field of an actor with the place where it goes on
    of_its_own: bool = False
    """A process is that of its first parameter that is no only one; or, if this is true, of an
    actor that is no parameter: who begins it writes the parameters into the actor's row."""

    def extended(self, rules: str) -> None:
        """Add rules for expressions, one a line (:func:`parsed`)."""
        self.expressions += parsed(rules)


def parsed(rules: str) -> Iterator[Rule]:
    """Yield the rules of a text, one a line: ``pattern -> template : Kind``, or ``=> value``."""
    for line in rules.splitlines():
        text = line.split("#")[0].strip()
        if not text:
            continue
        pattern, _, rest = text.partition(" -> ")
        rest, _, value = rest.partition(" => ")
        if value:
            value, _, kind = value.partition(" : ")
        else:
            rest, _, kind = rest.partition(" : ")
        yield Rule(_parse(pattern), _parse(rest), kind.strip(), _parse(value) if value else None)


def in_python(
    pattern: str, function: Callable[..., Any], native: str = "", *, returns: bool = True
) -> PythonCall:
    """Return the rule for a call that Python makes: a pattern, and the function that Python
    calls.
    """
    tree = _parse(pattern)
    letters = tuple(n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and is_letter(n.id))
    order = sorted(letters, key=lambda letter: pattern.index(letter))
    return PythonCall(tree, function, tuple(order), _parse(native) if native else None, returns)


def _parse(text: str) -> ast.expr:
    return ast.parse(text.strip(), mode="eval").body


def is_letter(name: str) -> bool:
    """Tell whether a name of a pattern stands for any expression."""
    return len(name) == 1 and name.isupper()


def filled(template: ast.expr, meant: Mapping[str, ast.expr]) -> ast.expr:
    """Return a template in which names stand for what they mean."""

    class Fill(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            return copy.deepcopy(meant[node.id]) if node.id in meant else node

    filled: ast.expr = Fill().visit(copy.deepcopy(template))
    return filled


def shape(node: ast.expr) -> tuple[str, str]:
    """Return under what rules for an expression are filed: its class and its outermost name."""
    if isinstance(node, ast.Attribute):
        return "Attribute", node.attr
    if isinstance(node, ast.Call):
        return "Call", shape(node.func)[1]
    if isinstance(node, ast.Name):
        return "Name", "" if is_letter(node.id) else node.id
    return type(node).__name__, ""


def filed(rules: Iterable[Any]) -> dict[tuple[str, str], list[Any]]:
    """Return rules by :func:`shape` of their patterns."""
    found: dict[tuple[str, str], list[Any]] = {}
    for rule in rules:
        found.setdefault(shape(rule.pattern), []).append(rule)
    return found
