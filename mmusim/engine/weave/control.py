"""Branches, loops and handlers of interrupts and exceptions that contain a wait."""

from __future__ import annotations

import ast

from mmusim.engine.weave.base import ANSWER, Loop
from mmusim.engine.weave.expressions import SELF, STATE
from mmusim.engine.weave.graph import Block, Branch, Goto, Wait
from mmusim.engine.weave.plain import own_loop
from mmusim.engine.weave.scope import Scope
from mmusim.engine.weave.vocabulary import filled
from mmusim.engine.weave.waiting import Waiting


class Control(Waiting):
    """Parts blocks, and joins them."""

    def _if(self, one: ast.If, at: Block, scope: Scope, loop: Loop | None) -> Block | None:
        test = self._test(one.test, at, scope)
        if isinstance(test, ast.Constant):
            return self._statements(one.body if test.value else one.orelse, at, scope, loop)
        if self._is_simple([one], scope):
            kept = ast.If(test, self._inner(one.body, scope), self._inner(one.orelse, scope))
            at.code.append(kept)
            return at
        yes, no = self._new(scope, one), self._new(scope, one)
        at.end = Branch(test, yes, no)
        ends = (
            self._statements(one.body, yes, scope, loop),
            self._statements(one.orelse, no, scope, loop),
        )
        reached = [end for end in ends if end is not None]
        if not reached:
            return None
        if len(reached) == 1:
            return reached[0]
        after = self._new(scope, one)
        for end in reached:
            end.end = Goto(after)
        return after

    def _while(self, one: ast.While, at: Block, scope: Scope) -> Block | None:
        if one.orelse:
            raise scope.procedure.refuse(one.orelse[0], "is the else of a loop", "write an if")
        if self._is_simple([one], scope):
            at.code.append(self._simple(one, scope))
            return at
        again, body, after = (self._new(scope, one) for _ in range(3))
        at.end = Goto(again)
        forever = isinstance(one.test, ast.Constant) and one.test.value
        found = None if forever else self._say.python_call(one.test, scope)
        if forever:
            again.end = Goto(body)
        elif found is not None:
            asked = self._ask(one.test, None, again, scope)
            assert asked is not None
            asked.end = Branch(
                ast.parse(f"{STATE}.{ANSWER}[{SELF}] != 0", mode="eval").body, body, after
            )
        else:
            again.end = Branch(self._test(one.test, again, scope), body, after)
        end = self._statements(one.body, body, scope, Loop(again, after))
        if end is not None:
            end.end = Goto(again)
        left = not forever or any(isinstance(node, ast.Break) for node in own_loop(one.body))
        return after if left else None

    def _for(self, one: ast.For, at: Block, scope: Scope) -> Block:
        if one.orelse or not isinstance(one.target, ast.Name):
            raise scope.procedure.refuse(
                one, "is a loop of a form that is not supported", "split it"
            )
        if self._is_simple([one], scope):
            at.code.append(self._simple(one, scope))
            return at
        count, item, kind = self._iteration(one.iter, scope)
        name = f"{one.target.id}_number"
        scope.declare(name)
        index, last = scope.variable(name), scope.variable(f"{one.target.id}_count")
        scope.declare(f"{one.target.id}_count")
        scope.declare(one.target.id, kind)
        at.code += ast.parse(f"{index} = -1\n{last} = {ast.unparse(count)}").body
        again, body, after = (self._new(scope, one) for _ in range(3))
        at.end = Goto(again)
        again.code += ast.parse(f"{index} += 1").body
        again.end = Branch(ast.parse(f"{index} < {last}", mode="eval").body, body, after)
        taken = filled(item, {"I": ast.Name(index, ast.Load())})
        body.code.append(ast.Assign([ast.Name(scope.variable(one.target.id), ast.Store())], taken))
        end = self._statements(one.body, body, scope, Loop(again, after))
        if end is not None:
            end.end = Goto(again)
        return after

    def _try(self, one: ast.Try, at: Block, scope: Scope, loop: Loop | None) -> Block | None:
        match one:
            case ast.Try(
                body=[ast.Expr(ast.Yield() as waited)],
                handlers=[ast.ExceptHandler(type=ast.expr() as caught)],
                finalbody=[],
            ) if ast.unparse(caught).split(".")[-1] == self._words.interrupt:
                pass
            case _:
                raise scope.procedure.refuse(
                    one, "is a try that is not supported",
                    f"put one yield into it, and catch {self._words.interrupt}",
                )  # fmt: skip
        handler = one.handlers[0]
        name = handler.name or "interrupt"
        scope.declare(name, "interrupt")
        after, interrupted = self._new(scope, waited), self._new(scope, handler)
        at.end = Wait(self._how(waited, scope)[1], after, interrupted, scope.variable(name))
        ends = (
            self._statements(one.orelse, after, scope, loop),
            self._statements(handler.body, interrupted, scope, loop),
        )
        reached = [end for end in ends if end is not None]
        if len(reached) < 2:
            return reached[0] if reached else None
        behind = self._new(scope, one)
        for end in reached:
            end.end = Goto(behind)
        return behind

    def _with(self, one: ast.With, at: Block, scope: Scope, loop: Loop | None) -> Block | None:
        match one.items:
            case [ast.withitem(ast.Call(ast.Name("suppress"), [caught]), None)]:
                exception = scope.procedure.value_of(caught)
            case _:
                raise scope.procedure.refuse(
                    one.items[0].context_expr, "is a context that is not supported",
                    "use contextlib.suppress of an exception that Python raises",
                )  # fmt: skip
        if self.called[scope.procedure.name].sites or exception in self.escapes:
            raise scope.procedure.refuse(
                one.items[0].context_expr, "is not the only one of the process",
                "suppress an exception once, in the function that the process begins with",
            )  # fmt: skip
        after = self._new(scope, one)
        self.escapes[exception] = after
        end = self._statements(one.body, at, scope, loop)
        if end is not None:
            end.end = Goto(after)
        return after
