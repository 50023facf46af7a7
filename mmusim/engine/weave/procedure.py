"""Functions as the weaver reads them: their syntax tree, and where each line of it stands."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mmusim.base.errors import WeaveError


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a procedure."""

    name: str
    kind: str  # its annotation as it is written
    default: ast.expr | None
    by_name: bool = False  # it can only be given by name


class Procedure:
    """A function whose text is woven: a generator, or a helper without a ``yield``."""

    def __init__(self, function: Callable[..., Any]) -> None:
        """Read the text of `function`.

        Raises
        ------
        WeaveError
            If its text cannot be found, or has parameters that are not supported.
        """
        self.function: Any = inspect.unwrap(function)
        if not inspect.isfunction(self.function):
            raise WeaveError(f"{function!r} is no function whose text can be woven; give a def")
        self.name: str = self.function.__name__
        self.path = inspect.getsourcefile(self.function) or ""
        self.tree = _definition(self.path, self.name, self.function.__code__.co_firstlineno)
        self.waits = _has_yield(self.tree)
        self.parameters = self._parameters()

    def __repr__(self) -> str:
        return f"{self.name} in {self.path}"

    @property
    def file(self) -> str:
        """The file as messages name it: from the top package on."""
        path = Path(self.path)
        package = self.function.__module__.split(".")
        return str(Path(*path.parts[-len(package) :])) if len(package) > 1 else path.name

    def where(self, node: ast.AST) -> str:
        """Return file and line of a part of the text, for messages: ``file:line``."""
        return f"{self.file}:{getattr(node, 'lineno', self.tree.lineno)}"

    def refuse(self, node: ast.AST, rule: str, remedy: str) -> WeaveError:
        """Return the error for a piece of the text that cannot be woven."""
        return WeaveError(f"{self.where(node)}: {ast.unparse(node)!r} {rule}; {remedy}")

    def value_of(self, node: ast.expr) -> Any:
        """Return what a name or a chain of attributes stands for where the function is defined.

        Raises
        ------
        LookupError
            If that is not known before a run.
        """
        if isinstance(node, ast.Name):
            known = self.function.__globals__
            if node.id in known:
                return known[node.id]
            return getattr(__import__("builtins"), node.id) if node.id in _BUILTINS else _no(node)
        if isinstance(node, ast.Attribute):
            owner = self.value_of(node.value)
            return getattr(owner, node.attr) if hasattr(owner, node.attr) else _no(node)
        return _no(node)

    def _parameters(self) -> tuple[Parameter, ...]:
        given = self.tree.args
        if given.vararg or given.kwarg or given.posonlyargs:
            raise self.refuse(
                given.vararg or given.kwarg or given.posonlyargs[0],
                "is a parameter of a kind that is not supported", "name each parameter",
            )  # fmt: skip
        missing: list[ast.expr | None] = [None] * (len(given.args) - len(given.defaults))
        defaults = [*missing, *given.defaults, *given.kw_defaults]
        every = [*given.args, *given.kwonlyargs]
        for one in every:
            if one.annotation is None:
                raise self.refuse(one, "is a parameter without a type", "annotate it")
        return tuple(
            Parameter(one.arg, ast.unparse(one.annotation), default, one in given.kwonlyargs)  # type: ignore[arg-type]
            for one, default in zip(every, defaults, strict=True)
        )


_BUILTINS = frozenset({"True", "False", "None", "int", "bool", "round", "min", "max", "abs"})


def _no(node: ast.expr) -> Any:
    raise LookupError(ast.unparse(node))


@cache
def _module(path: str) -> ast.Module:
    return ast.parse(Path(path).read_text(encoding="utf-8"), path)


def _definition(path: str, name: str, line: int) -> ast.FunctionDef:
    for node in ast.walk(_module(path)):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            if first == line:
                return node
    raise WeaveError(f"{path}:{line}: the text of {name!r} is not there; restart the program")


def _has_yield(tree: ast.FunctionDef) -> bool:
    return any(isinstance(node, ast.Yield | ast.YieldFrom) for node in ast.walk(tree))
