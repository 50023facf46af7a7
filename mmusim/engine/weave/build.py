"""From the statements of a process to blocks."""

from __future__ import annotations

import ast

from mmusim.engine.weave.base import Called, Loop
from mmusim.engine.weave.control import Control
from mmusim.engine.weave.expressions import SELF, STATE
from mmusim.engine.weave.graph import Block, Finish, Goto, Return
from mmusim.engine.weave.procedure import Procedure
from mmusim.engine.weave.scope import Meaning, Scope, parameter_kind
from mmusim.engine.weave.vocabulary import NUMBER


class Builder(Control):
    """Builds the blocks of one process and of all the procedures that it goes through."""

    def process(self, root: Procedure) -> Block:
        """Build a process; its first actor parameter is the actor that it belongs to, if any is.

        Returns
        -------
        Block
            Where it begins. All others are reached from there.
        """
        entry = Block(self._where(root, root.tree))
        self.called[root.name] = Called(root, self._scope(root), entry, [])
        self._open.append(root.name)
        self._body(root.name, Finish())
        return entry

    def _scope(self, root: Procedure) -> Scope:
        """Return what the parameters of a root stand for; its first actor is the one it is of.

        A parameter that can only be given by name is what its default says.
        """
        scope = Scope(root, self._prefix)
        mine = not self._words.of_its_own
        for parameter in root.parameters:
            kind = parameter_kind(self._words, root, parameter)
            if kind in self._words.static:
                scope.names[parameter.name] = Meaning(ast.Name(STATE, ast.Load()), kind)
            elif kind != NUMBER and mine:
                scope.names[parameter.name] = Meaning(ast.Name(SELF, ast.Load()), kind)
                mine = False
            elif parameter.by_name and parameter.default is not None:
                scope.names[parameter.name] = self._say.meaning(parameter.default, Scope(root))
            else:
                scope.declare(parameter.name, kind)
                self.given.add(scope.variable(parameter.name))
        return scope

    def _body(self, name: str, end: Finish | Return) -> None:
        called = self.called[name]
        last = self._statements(called.procedure.tree.body, called.entry, called.scope, None)
        if last is not None:
            last.end = end
        self._open.remove(name)
        called.over = True

    def _statements(
        self, body: list[ast.stmt], block: Block, scope: Scope, loop: Loop | None
    ) -> Block | None:
        """Add statements to a block; return the block behind them, or None if none is reached."""
        at: Block | None = block
        for one in body:
            if at is None:
                raise scope.procedure.refuse(one, "is never reached", "remove it")
            at = self._statement(one, at, scope, loop)
        return at

    def _statement(self, one: ast.stmt, at: Block, scope: Scope, loop: Loop | None) -> Block | None:
        match one:
            case ast.Pass() | ast.Assert() | ast.Delete():
                return at
            case ast.Expr(ast.Constant()):
                return at
            case ast.Return():
                self._return(one, at, scope)
                return None
            case ast.Break() | ast.Continue() if loop is not None:
                at.end = Goto(loop.after if isinstance(one, ast.Break) else loop.again)
                return None
            case ast.Raise(exc=ast.expr() as raised):
                return self._ask(raised, None, at, scope)
            case ast.If():
                return self._if(one, at, scope, loop)
            case ast.While():
                return self._while(one, at, scope)
            case ast.For():
                return self._for(one, at, scope)
            case ast.Try():
                return self._try(one, at, scope, loop)
            case ast.With():
                return self._with(one, at, scope, loop)
            case ast.AugAssign():
                self._augmented(one, at, scope)
                return at
            case ast.Expr(value):
                return self._value(value, None, at, scope)
            case ast.Assign(targets=[target], value=value):
                return self._value(value, target, at, scope)
            case ast.Assign(targets=targets, value=ast.Constant() as value):
                for target in targets:
                    self._assign(target, value, at, scope)
                return at
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                return self._value(value, target, at, scope)
        raise scope.procedure.refuse(
            one, f"is a statement that is not supported ({type(one).__name__})",
            "write it with assignments, if, while, for, try around one yield, and calls",
        )  # fmt: skip

    def _value(
        self, value: ast.expr, target: ast.expr | None, at: Block, scope: Scope
    ) -> Block | None:
        """Carry out an expression that stands alone, or is assigned as a whole."""
        if isinstance(value, ast.Yield):
            return self._yield(value, target, at, scope)
        if isinstance(value, ast.YieldFrom):
            return self._yield_from(value, target, at, scope)
        if self._say.python_call(value, scope) is not None:
            return self._ask(value, target, at, scope)
        if target is None:
            if not self._append(value, at, scope):
                at.code.append(ast.Expr(self._say.number(value, scope)))
            return at
        if isinstance(value, ast.List) and not value.elts and isinstance(target, ast.Name):
            self._list(target, at, scope)
            return at
        self._assign(target, value, at, scope)
        return at
