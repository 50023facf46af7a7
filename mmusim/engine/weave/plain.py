"""Compound statements without a wait or a jump out of them: they stay as they are."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from mmusim.engine.weave.base import Base
from mmusim.engine.weave.graph import Block
from mmusim.engine.weave.procedure import Procedure
from mmusim.engine.weave.scope import Scope
from mmusim.engine.weave.vocabulary import filled


class Plain(Base):
    """Keeps statements in which nobody waits."""

    def _is_simple(self, body: list[ast.stmt], scope: Scope) -> bool:
        """Tell whether statements neither wait nor leave, nor ask anything of Python."""
        for one in _walk(body):
            if isinstance(
                one, ast.Yield | ast.YieldFrom | ast.Return | ast.Raise | ast.Try | ast.With
            ):
                return False
            if isinstance(one, ast.Call) and self._asks(one, scope):
                return False
        return not any(isinstance(one, ast.Break | ast.Continue) for one in own_loop(body))

    def _asks(self, call: ast.Call, scope: Scope) -> bool:
        names = {rule.pattern for rule in self._words.python}
        last = call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)
        return any(
            isinstance(pattern, ast.Call) and last == ast.unparse(pattern.func).rpartition(".")[2]
            for pattern in names
        )

    def _simple(self, one: ast.stmt, scope: Scope) -> ast.stmt:
        """Translate a compound statement that stays one; its test comes first."""
        if isinstance(one, ast.If):
            test = self._say.number(one.test, scope)
            if isinstance(test, ast.Constant):
                kept = self._inner(one.body if test.value else one.orelse, scope)
                return ast.If(ast.Constant(True), kept or [ast.Pass()], [])
            return ast.If(test, self._inner(one.body, scope), self._inner(one.orelse, scope))
        if isinstance(one, ast.While):
            test = self._say.number(one.test, scope)
            return ast.While(test, self._inner(one.body, scope), [])
        assert isinstance(one, ast.For)
        assert isinstance(one.target, ast.Name)
        count, item, kind = self._iteration(one.iter, scope)
        scope.declare(one.target.id, kind)
        index = f"{scope.variable(one.target.id)}_number"
        loop = ast.parse(f"for {index} in range({ast.unparse(count)}): pass").body[0]
        assert isinstance(loop, ast.For)
        taken = filled(item, {"I": ast.Name(index, ast.Load())})
        first = ast.Assign([ast.Name(scope.variable(one.target.id), ast.Store())], taken)
        loop.body = [first, *self._inner(one.body, scope)]
        return loop

    def helper(self, procedure: Procedure, scope: Scope) -> list[ast.stmt]:
        """Return the statements of a function that neither waits nor calls Python."""
        return self._inner(procedure.tree.body, scope)

    def _inner(self, body: list[ast.stmt], scope: Scope) -> list[ast.stmt]:
        block = Block("")
        for one in body:
            if isinstance(one, ast.Break | ast.Continue):
                block.code.append(one)
            elif isinstance(one, ast.If | ast.While | ast.For):
                block.code.append(self._simple(one, scope))
            elif isinstance(one, ast.Return):
                value = None if one.value is None else self._say.number(one.value, scope)
                block.code.append(ast.Return(value))
            else:
                self._statement(one, block, scope, None)
            if block.end is not None:
                raise scope.procedure.refuse(
                    one, "asks Python inside a helper", "make it a process"
                )
        return block.code or ([ast.Pass()] if body else [])


def _walk(body: list[ast.stmt]) -> Iterator[ast.AST]:
    for one in body:
        yield from ast.walk(one)


def own_loop(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Yield the statements of a body that are in no loop inside it."""
    for one in body:
        yield one
        if isinstance(one, ast.If | ast.With | ast.Try):
            parts = [one.body, getattr(one, "orelse", []), getattr(one, "finalbody", [])]
            parts += [handler.body for handler in getattr(one, "handlers", [])]
            for part in parts:
                yield from own_loop(part)
