"""Expressions of a process, in the words of compiled code."""

from __future__ import annotations

import ast
import copy
import enum
from collections.abc import Callable
from typing import Any

from mmusim.engine.weave.procedure import Procedure
from mmusim.engine.weave.scope import Meaning, Scope
from mmusim.engine.weave.vocabulary import (
    NUMBER,
    PythonCall,
    Rule,
    Vocabulary,
    filed,
    filled,
    is_letter,
    shape,
)

SELF = "me"
STATE = "s"
_PLAIN = (
    ast.BinOp, ast.BoolOp, ast.UnaryOp, ast.Compare, ast.IfExp, ast.Tuple, ast.NamedExpr,
    ast.Subscript,
)  # fmt: skip
_BUILTINS = {int: "truncated", bool: "bool", round: "rounded", min: "min", max: "max", abs: "abs"}


class Expressions:
    """Translates expressions, and collects the constants and helpers that they need."""

    def __init__(self, words: Vocabulary) -> None:
        """Translate by a vocabulary."""
        self.words = words
        self._rules = filed(words.expressions)
        self.constants: dict[str, Any] = {}
        self.texts: list[str] = [""]
        self.helper: Callable[[Procedure], str] = lambda procedure: procedure.name

    def number(self, node: ast.expr, scope: Scope) -> ast.expr:
        """Return the compiled form of a number's expression; else raise WeaveError."""
        meaning = self.meaning(node, scope)
        if meaning.kind in self.words.static and meaning.kind != NUMBER:
            raise scope.procedure.refuse(
                node, f"is a {meaning.kind}, not a number", "add a rule to the vocabulary"
            )
        return meaning.node

    def meaning(self, node: ast.expr, scope: Scope) -> Meaning:
        """Return the compiled form of an expression, and its kind.

        Raises
        ------
        WeaveError
            If it has none.
        """
        found = self._by_rule(self._rules.get(shape(node), ()), node, scope)
        if found is not None:
            rule, meant = found
            return Meaning(filled(rule.template, meant), rule.kind)
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str):
                return Meaning(ast.Constant(self._text(node.value)), "str")
            if not isinstance(node.value, int | float):
                raise scope.procedure.refuse(node, "is no number", "add a rule")
            return Meaning(node)
        if isinstance(node, ast.Name):
            return self._name(node, scope)
        if isinstance(node, ast.Attribute):
            return self._attribute(node, scope)
        if isinstance(node, ast.Call):
            return self._call(node, scope)
        if isinstance(node, _PLAIN):
            return Meaning(self._parts(node, scope))
        raise scope.procedure.refuse(
            node, f"is of a form that is not supported ({type(node).__name__})",
            "write it with names, numbers, operators and calls",
        )  # fmt: skip

    def target(self, node: ast.expr, scope: Scope) -> ast.expr:
        """Return the compiled form of what is assigned to; else raise WeaveError."""
        if isinstance(node, ast.Name):
            stands = copy.deepcopy(scope.declare(node.id))
        elif isinstance(node, ast.Tuple):
            stands = ast.Tuple([self.target(one, scope) for one in node.elts], ast.Store())
        else:
            stands = copy.deepcopy(self.number(node, scope))
        if not isinstance(stands, ast.Name | ast.Attribute | ast.Subscript | ast.Tuple):
            raise scope.procedure.refuse(
                node, "cannot be assigned to in compiled code", "call a function that does it"
            )
        stands.ctx = ast.Store()
        return stands

    def matching(
        self, rules: list[Any], node: ast.expr, scope: Scope
    ) -> tuple[Any, dict[str, ast.expr]] | None:
        """Return the first of `rules` that an expression matches, and its names' meaning; or
        None.
        """
        return self._by_rule([rule for rule in rules if _may(rule.pattern, node)], node, scope)

    def python_call(
        self, node: ast.expr, scope: Scope
    ) -> tuple[PythonCall, dict[str, ast.expr]] | None:
        """Return the rule of a call that Python makes, and its letters' meaning; None: it is
        none.
        """
        return self.matching(self.words.python, node, scope)

    # --- rules ---------------------------------------------------------------------------------

    def _by_rule(
        self, rules: Any, node: ast.expr, scope: Scope
    ) -> tuple[Rule, dict[str, ast.expr]] | None:
        for rule in rules:
            meant: dict[str, ast.expr] = {}
            if self._matches(rule.pattern, node, scope, meant):
                return rule, {
                    name: self.number(what, scope) if is_letter(name) else what
                    for name, what in meant.items()
                }
        return None

    def _matches(self, pattern: Any, node: Any, scope: Scope, meant: dict[str, ast.expr]) -> bool:
        if isinstance(pattern, ast.Name) and isinstance(node, ast.expr):
            if is_letter(pattern.id):
                meant[pattern.id] = node
                return True
            kind = self.words.objects.get(pattern.id)
            if kind is not None:
                stands = self._object(node, scope)
                if stands is None or stands.kind != kind:
                    return False
                meant[pattern.id] = stands.node
                return True
        if isinstance(pattern, ast.AST):
            if type(pattern) is not type(node):
                return False
            return all(
                self._matches(getattr(pattern, name, None), getattr(node, name, None), scope, meant)
                for name in pattern._fields
                if name not in ("ctx", "kind")
            )
        if isinstance(pattern, list):
            return (
                isinstance(node, list)
                and len(pattern) == len(node)
                and all(
                    self._matches(p, n, scope, meant) for p, n in zip(pattern, node, strict=True)
                )
            )
        return bool(pattern == node)

    def _object(self, node: ast.expr, scope: Scope) -> Meaning | None:
        """What stands for an expression if it is an object; None if it is none."""
        if isinstance(node, ast.Name):
            known = scope.names.get(node.id)
            return known if known is not None and known.kind != NUMBER else None
        if isinstance(node, ast.Attribute | ast.Call | ast.Subscript):
            found = self._by_rule(
                [rule for rule in self._rules.get(shape(node), ()) if rule.kind], node, scope
            )
            if found is not None:
                return Meaning(filled(found[0].template, found[1]), found[0].kind)
        return None

    # --- without a rule ------------------------------------------------------------------------

    def _text(self, text: str) -> int:
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text)

    def _name(self, node: ast.Name, scope: Scope) -> Meaning:
        if node.id in scope.names:
            known = scope.names[node.id]
            return Meaning(copy.deepcopy(known.node), known.kind)
        return Meaning(self._constant(node, scope))

    def _constant(self, node: ast.expr, scope: Scope) -> ast.expr:
        try:
            value = scope.procedure.value_of(node)
        except LookupError:
            raise scope.procedure.refuse(
                node, "is not known here", "assign it before, or add a rule to the vocabulary"
            ) from None
        if isinstance(value, enum.Enum):
            value = value.value
        if isinstance(value, bool) or value is None:
            return ast.Constant(bool(value))
        if not isinstance(value, int | float):
            raise scope.procedure.refuse(
                node, f"is a {type(value).__name__}, not a number", "add a rule to the vocabulary"
            )
        name = node.attr if isinstance(node, ast.Attribute) else ast.unparse(node)
        while self.constants.setdefault(name, value) != value:
            name += "_"
        return ast.Name(name, ast.Load())

    def _attribute(self, node: ast.Attribute, scope: Scope) -> Meaning:
        owner = self._object(node.value, scope)
        if owner is None:
            return Meaning(self._constant(node, scope))
        if node.attr in self.words.known.get(owner.kind, ()):
            template = self.words.attributes[owner.kind].replace("NAME", node.attr)
            return Meaning(filled(ast.parse(template, mode="eval").body, {"X": owner.node}))
        raise scope.procedure.refuse(
            node, f"is an attribute of a {owner.kind} that compiled code does not have",
            "add a rule to the vocabulary",
        )  # fmt: skip

    def _call(self, node: ast.Call, scope: Scope) -> Meaning:
        match node:
            case ast.Call(ast.Name("len"), [ast.Name(name)], []) if name in scope.lists:
                return Meaning(ast.Name(scope.variable(name), ast.Load()))
        if self.python_call(node, scope) is not None:
            raise scope.procedure.refuse(
                node, "is asked of Python inside an expression", "assign it to a name before"
            )
        try:
            function = scope.procedure.value_of(node.func)
        except LookupError:
            function = None
        if function in _BUILTINS and not node.keywords:
            name = _BUILTINS[function]
            return Meaning(_calls(name, [self.number(one, scope) for one in node.args]))
        if function in self.words.functions and not node.keywords:
            given = [self.meaning(one, scope).node for one in node.args]
            return Meaning(_calls(self.words.functions[function], given))
        if getattr(function, "__module__", "").startswith(self._home(scope)):
            procedure = Procedure(function)
            if not procedure.waits:
                arguments = self.arguments(procedure, node, scope)
                given = [a.node for _, a in arguments if a.kind not in self.words.static]
                name = self.helper(procedure)
                return Meaning(_calls(name, [ast.Name(STATE, ast.Load()), *given]))
        raise scope.procedure.refuse(
            node, "calls what compiled code does not have",
            "add a rule, a function that is compiled as it is, or something that Python does",
        )  # fmt: skip

    def _home(self, scope: Scope) -> str:
        """Helpers are woven from the top package that the procedure is of."""
        return str(scope.procedure.function.__module__).partition(".")[0]

    def arguments(
        self, called: Procedure, node: ast.Call, scope: Scope
    ) -> list[tuple[str, Meaning]]:
        """Return the arguments of a call by name, defaults included.

        Raises
        ------
        WeaveError
            If there are too few or too many, or of a form that is not supported.
        """
        names = [parameter.name for parameter in called.parameters]
        given: dict[str, ast.expr] = {}
        if len(node.args) > len(names) or any(isinstance(one, ast.Starred) for one in node.args):
            raise scope.procedure.refuse(node, f"does not fit {called!r}", "name each argument")
        given |= dict(zip(names, node.args, strict=False))
        given |= {one.arg or "**": one.value for one in node.keywords}
        arguments = []
        for parameter in called.parameters:
            if parameter.name in given:
                value = self.meaning(given.pop(parameter.name), scope)
            elif parameter.default is not None:
                value = self.meaning(parameter.default, Scope(called))
            else:
                raise scope.procedure.refuse(node, f"lacks {parameter.name}", "give it")
            arguments.append((parameter.name, value))
        if given:
            raise scope.procedure.refuse(node, f"gives {', '.join(given)}", f"see {called!r}")
        return arguments

    def _parts(self, node: ast.expr, scope: Scope) -> ast.expr:
        made = copy.copy(node)
        for name, value in ast.iter_fields(node):
            if isinstance(node, ast.NamedExpr) and name == "target":
                made.target = self.target(value, scope)  # type: ignore[attr-defined]
            elif isinstance(value, ast.expr):
                setattr(made, name, self.number(value, scope))
            elif isinstance(value, list) and value and isinstance(value[0], ast.expr):
                setattr(made, name, [self.number(one, scope) for one in value])
        return made


def _calls(name: str, arguments: list[ast.expr]) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), arguments, [])


def _may(pattern: ast.expr, node: ast.expr) -> bool:
    wanted, found = shape(pattern), shape(node)
    return (wanted[0] == found[0] and wanted[1] in ("", found[1])) or wanted[0] == "Name"
