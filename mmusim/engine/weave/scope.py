"""The meaning of names in one procedure while it is woven."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from mmusim.engine.weave.procedure import Parameter, Procedure
from mmusim.engine.weave.vocabulary import NUMBER, Vocabulary


@dataclass(frozen=True, slots=True)
class Meaning:
    """What stands for an expression in compiled code."""

    node: ast.expr
    kind: str = NUMBER


@dataclass(slots=True)
class Scope:
    """The local names of a procedure."""

    procedure: Procedure
    prefix: str = ""
    names: dict[str, Meaning] = field(default_factory=dict)
    lists: dict[str, str] = field(default_factory=dict)  # local name -> name of the array
    items: dict[str, str] = field(default_factory=dict)  # local name -> kind of its items

    def variable(self, name: str) -> str:
        """Return the name that a local variable has in compiled code."""
        return f"{self.prefix}{self.procedure.name}_{name}"

    def declare(self, name: str, kind: str = NUMBER) -> ast.expr:
        """Let a name be a variable from here on; return what stands for it.

        Raises
        ------
        WeaveError
            If it stood for something of another kind before.
        """
        made = ast.Name(self.variable(name), ast.Load())
        before = self.names.setdefault(name, Meaning(made, kind))
        if before.kind != kind or not isinstance(before.node, ast.Name):
            raise self.procedure.refuse(
                made, f"is a {kind or 'number'} here and a {before.kind or 'number'} before",
                "give it another name",
            )  # fmt: skip
        return before.node

    def bind(self, name: str, meaning: Meaning, at: ast.AST) -> None:
        """Let a name stand for an object of which there is one.

        Raises
        ------
        WeaveError
            If it stands for something else already.
        """
        before = self.names.setdefault(name, meaning)
        if ast.dump(before.node) != ast.dump(meaning.node) or before.kind != meaning.kind:
            raise self.procedure.refuse(at, "gives a name a second meaning", "use another name")


def parameter_kind(words: Vocabulary, procedure: Procedure, parameter: Parameter) -> str:
    """Return the kind of a parameter.

    Raises
    ------
    WeaveError
        If its annotation is not known.
    """
    if parameter.kind not in words.kinds:
        raise procedure.refuse(
            procedure.tree, f"takes {parameter.name}: {parameter.kind}, which is not supported",
            f"take one of {', '.join(sorted(words.kinds))}",
        )  # fmt: skip
    return words.kinds[parameter.kind]
