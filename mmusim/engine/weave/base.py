"""What the parts of the builder share: names, blocks, assignments."""

from __future__ import annotations

import ast
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

from mmusim.engine.weave.expressions import SELF, STATE, Expressions
from mmusim.engine.weave.graph import Asked, Block, Finish, Return
from mmusim.engine.weave.procedure import Procedure
from mmusim.engine.weave.scope import Meaning, Scope
from mmusim.engine.weave.vocabulary import NUMBER, filled

ANSWER = "answer"
"""The field in which Python leaves what it returned."""


@dataclass(frozen=True, slots=True)
class Given:
    """An argument of a call: the statement that hands it over, and where that stands."""

    block: Block
    assign: ast.Assign


@dataclass(slots=True)
class Called:
    """A procedure that is part of the process, and where it is called from."""

    procedure: Procedure
    scope: Scope
    entry: Block
    sites: list[Block]  # where it returns to
    over: bool = False  # its blocks are built
    given: dict[str, list[Given]] = field(default_factory=dict)  # variable -> what calls give


@dataclass(slots=True)
class Loop:
    """The innermost loop that is being built."""

    again: Block
    after: Block


class Base(ABC):
    """Names, blocks, and assignments without control flow."""

    def __init__(self, expressions: Expressions, prefix: str = "") -> None:
        """Translate expressions by `expressions`; names of variables begin with `prefix`."""
        self._say = expressions
        self._prefix = prefix
        self._words = expressions.words
        self.called: dict[str, Called] = {}
        self.asked: list[Asked] = []
        self.lists: list[str] = []
        self.escapes: dict[type[BaseException], Block] = {}
        self.given: set[str] = set()  # variables that are set before the process begins
        self._open: list[str] = []  # procedures that are being built, outermost first

    @abstractmethod
    def _statements(
        self, body: list[ast.stmt], block: Block, scope: Scope, loop: Loop | None
    ) -> Block | None:
        """Add statements to a block; return the block behind them, or None if none is reached."""

    @abstractmethod
    def _statement(self, one: ast.stmt, at: Block, scope: Scope, loop: Loop | None) -> Block | None:
        """Add one statement."""

    @abstractmethod
    def _body(self, name: str, end: Finish | Return) -> None:
        """Build the statements of a procedure."""

    def _where(self, procedure: Procedure, node: ast.AST) -> str:
        return f"{procedure.name} ({procedure.where(node)})"

    def _new(self, scope: Scope, node: ast.AST) -> Block:
        return Block(self._where(scope.procedure, node))

    def _augmented(self, one: ast.AugAssign, at: Block, scope: Scope) -> None:
        target: Any = self._say.target(one.target, scope)
        made = ast.AugAssign(target, one.op, self._say.number(one.value, scope))
        at.code.append(made)

    def _assign(self, target: ast.expr, value: ast.expr, at: Block, scope: Scope) -> None:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            pairs = list(zip(target.elts, value.elts, strict=True))
            objects = [pair for pair in pairs if self._is_object(pair[1], scope)]
            for name, thing in objects:
                self._assign(name, thing, at, scope)
            left = [pair for pair in pairs if pair not in objects]
            if objects and len(left) == 1:
                self._assign(*left[0], at, scope)
                return
            if not left:
                return
            target = ast.Tuple([name for name, _ in left], ast.Store())
            value = ast.Tuple([thing for _, thing in left], ast.Load())
        meaning = self._say.meaning(value, scope)
        if meaning.kind in self._words.static and meaning.kind != NUMBER:
            if not isinstance(target, ast.Name):
                stands = self._say.meaning(target, scope)
                if stands.kind == meaning.kind and ast.dump(stands.node) == ast.dump(meaning.node):
                    return  # it is what it stands for anyway
                raise scope.procedure.refuse(target, "takes an object", "assign it to a name")
            scope.bind(target.id, meaning, target)
            return
        if isinstance(target, ast.Name) and meaning.kind != NUMBER:
            scope.declare(target.id, meaning.kind)
            node: ast.expr = ast.Name(scope.variable(target.id), ast.Store())
        else:
            node = self._say.target(target, scope)
        at.code.append(ast.Assign([node], meaning.node))

    def _is_object(self, value: ast.expr, scope: Scope) -> bool:
        kind = self._say.meaning(value, scope).kind
        return kind in self._words.static and kind != NUMBER

    def _list(self, target: ast.Name, at: Block, scope: Scope) -> None:
        name = f"list_{scope.variable(target.id)}"
        scope.lists[target.id] = name
        if name not in self.lists:
            self.lists.append(name)
        count = scope.declare(target.id, "list")
        node = ast.Name(count.id, ast.Store())  # type: ignore[attr-defined]
        at.code.append(ast.Assign([node], ast.Constant(0)))

    def _append(self, value: ast.expr, at: Block, scope: Scope) -> bool:
        match value:
            case ast.Call(ast.Attribute(ast.Name(name), "append"), [item]) if name in scope.lists:
                count, array = scope.variable(name), scope.lists[name]
                meaning = self._say.meaning(item, scope)
                if scope.items.setdefault(name, meaning.kind) != meaning.kind:
                    raise scope.procedure.refuse(
                        item, "is of another kind than what the list has", "use two lists"
                    )
                if meaning.kind in self._words.static and meaning.kind != NUMBER:
                    raise scope.procedure.refuse(
                        item, f"is a {meaning.kind}, of which there is one", "leave it out"
                    )
                item_text = ast.unparse(ast.fix_missing_locations(meaning.node))
                at.code += ast.parse(
                    f"{STATE}.{array}[{SELF}, {count}] = {item_text}\n{count} += 1"
                ).body
                return True
        return False

    def _test(self, test: ast.expr, at: Block, scope: Scope) -> ast.expr:
        """Translate a test; what it assigns to is assigned before."""
        if isinstance(test, ast.NamedExpr):
            self._assign(test.target, test.value, at, scope)
            test = test.target
        return self._say.number(test, scope)

    def _iteration(self, over: ast.expr, scope: Scope) -> tuple[ast.expr, ast.expr, str]:
        """Return how many items there are, item ``I``, and of which kind they are."""
        here = ast.Name("I", ast.Load())
        match over:
            case ast.Call(ast.Name("range"), [end], []):
                return self._say.number(end, scope), here, NUMBER
            case ast.Call(ast.Name("range"), [start, end], []):
                first, last = self._say.number(start, scope), self._say.number(end, scope)
                return ast.BinOp(last, ast.Sub(), first), ast.BinOp(first, ast.Add(), here), NUMBER
            case ast.Name(name) if name in scope.lists:
                item = ast.parse(f"{STATE}.{scope.lists[name]}[{SELF}, I]", mode="eval").body
                count = ast.Name(scope.variable(name), ast.Load())
                return count, item, scope.items.get(name, NUMBER)
        found = self._say.matching(self._words.iterations, over, scope)
        if found is None or found[0].value is None:
            raise scope.procedure.refuse(
                over, "is nothing that compiled code can go through", "add a rule, or use range()"
            )
        rule, meant = found
        return filled(rule.template, meant), filled(rule.value, meant), rule.kind


def is_self(meaning: Meaning) -> bool:
    return isinstance(meaning.node, ast.Name) and meaning.node.id == SELF
