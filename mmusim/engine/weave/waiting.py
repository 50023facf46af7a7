"""Waits, calls of other procedures, and requests to Python."""

from __future__ import annotations

import ast
import copy

from mmusim.engine.weave.base import ANSWER, Called, Given, is_self
from mmusim.engine.weave.expressions import SELF, STATE
from mmusim.engine.weave.graph import Ask, Asked, Block, Branch, Finish, Goto, Return, Wait
from mmusim.engine.weave.plain import Plain
from mmusim.engine.weave.procedure import Procedure
from mmusim.engine.weave.scope import Meaning, Scope, parameter_kind
from mmusim.engine.weave.vocabulary import NUMBER, Rule, filled


class Waiting(Plain):
    """Ends blocks where an actor waits, calls or asks."""

    def _yield(self, value: ast.Yield, target: ast.expr | None, at: Block, scope: Scope) -> Block:
        rule, how = self._how(value, scope)
        after = self._new(scope, value)
        at.end = Wait(how, after)
        if target is not None:
            if rule.value is None:
                raise scope.procedure.refuse(value, "has no value", "do not assign it")
            after.code.append(ast.Assign([self._say.target(target, scope)], rule.value))
        return after

    def _how(self, value: ast.Yield, scope: Scope) -> tuple[Rule, ast.expr]:
        waited = value.value or ast.Constant(None)
        found = self._say.matching(self._words.yields, waited, scope)
        if found is None:
            raise scope.procedure.refuse(
                waited, "is nothing that compiled code can wait for", "add a rule to the vocabulary"
            )
        rule, meant = found
        filled_value = None if rule.value is None else filled(rule.value, meant)
        return Rule(rule.pattern, rule.template, rule.kind, filled_value), filled(
            rule.template, meant
        )

    def _yield_from(
        self, value: ast.YieldFrom, target: ast.expr | None, at: Block, scope: Scope
    ) -> Block | None:
        if self._say.python_call(value.value, scope) is not None:
            return self._ask(value.value, target, at, scope)
        call = value.value
        function = None
        if isinstance(call, ast.Call):
            try:
                function = scope.procedure.value_of(call.func)
            except LookupError:
                function = None
        if function is None:
            raise scope.procedure.refuse(
                value, "goes through what is no procedure", "call a generator function by name"
            )
        assert isinstance(call, ast.Call)
        procedure = Procedure(function)
        if procedure.name in self._open:
            raise scope.procedure.refuse(
                value, "calls a procedure that it is part of", "write a loop"
            )
        known = self.called.get(procedure.name)
        if known is not None and known.procedure.function is not procedure.function:
            raise scope.procedure.refuse(
                value, f"calls a second procedure named {procedure.name}", "rename one"
            )
        arguments = self._say.arguments(procedure, call, scope)
        if known is None:
            known = self._enter(procedure, arguments)
        self._pass(known, arguments, at, value, scope)
        after = self._new(scope, value)
        known.sites.append(after)
        at.end = Goto(known.entry, after)
        if not known.over:
            self._open.append(procedure.name)
            self._body(procedure.name, Return(procedure.name))
        if target is not None:
            result = ast.Name(known.scope.variable("returns"), ast.Load())
            after.code.append(ast.Assign([self._say.target(target, scope)], result))
        return after

    def _enter(self, procedure: Procedure, arguments: list[tuple[str, Meaning]]) -> Called:
        """Begin a procedure: objects of which there is one are known, the rest are variables."""
        scope = Scope(procedure, self._prefix)
        for parameter, (name, meaning) in zip(procedure.parameters, arguments, strict=True):
            kind = parameter_kind(self._words, procedure, parameter)
            if kind in self._words.static and kind != NUMBER:
                scope.names[name] = Meaning(meaning.node, kind)
            elif kind != NUMBER and is_self(meaning):
                scope.names[name] = Meaning(ast.Name(SELF, ast.Load()), kind)
            elif parameter.by_name and parameter.default is not None:
                scope.names[name] = self._say.meaning(parameter.default, Scope(procedure))
            else:
                scope.declare(name, kind)
        entry = Block(self._where(procedure, procedure.tree))
        made = self.called[procedure.name] = Called(procedure, scope, entry, [])
        return made

    def _pass(
        self, called: Called, arguments: list[tuple[str, Meaning]], at: Block, node: ast.AST,
        scope: Scope,
    ) -> None:  # fmt: skip
        for name, meaning in arguments:
            stands = called.scope.names[name]
            if stands.kind != NUMBER and stands.kind != meaning.kind:
                raise scope.procedure.refuse(
                    node, f"gives {name} as a {meaning.kind or 'number'}", f"give a {stands.kind}"
                )
            if isinstance(stands.node, ast.Name) and stands.node.id not in (SELF, STATE):
                variable = ast.Name(stands.node.id, ast.Store())
                assign = ast.Assign([variable], copy.deepcopy(meaning.node))
                at.code.append(assign)
                called.given.setdefault(variable.id, []).append(Given(at, assign))
            elif ast.dump(stands.node) != ast.dump(meaning.node):
                raise scope.procedure.refuse(
                    node, f"gives another {name} than other calls", "weave it by itself"
                )

    def _ask(
        self, value: ast.expr, target: ast.expr | None, at: Block, scope: Scope
    ) -> Block | None:
        found = self._say.python_call(value, scope)
        if found is None:
            raise scope.procedure.refuse(
                value, "is not known to raise in Python", "add it to the vocabulary"
            )
        rule, meant = found
        number = len(self.asked)
        arguments = [meant[letter] for letter in rule.letters]
        where = self._where(scope.procedure, value)
        self.asked.append(Asked(rule.function, rule.returns, where, len(arguments)))
        after = self._new(scope, value) if rule.returns else None
        if rule.native is not None:
            asks = self._new(scope, value)
            asks.end = Ask(number, arguments, after)
            after = after or self._new(scope, value)
            at.end = Branch(filled(rule.native, meant), after, asks)
            return after
        at.end = Ask(number, arguments, after)
        if target is not None and after is not None:
            answer = ast.parse(f"{STATE}.{ANSWER}[{SELF}]", mode="eval").body
            after.code.append(ast.Assign([self._say.target(target, scope)], answer))
        return after

    def _return(self, one: ast.Return, at: Block, scope: Scope) -> None:
        name = scope.procedure.name
        root = not self.called[name].sites
        if one.value is not None and not root:
            if isinstance(one.value, ast.YieldFrom):
                behind = self._yield_from(one.value, None, at, scope)
                assert behind is not None
                raise scope.procedure.refuse(one, "returns what it waits for", "assign it first")
            result = ast.Name(scope.variable("returns"), ast.Store())
            at.code.append(ast.Assign([result], self._say.number(one.value, scope)))
        at.end = Finish() if root else Return(name)
