"""The weaver: from generator processes to the source of a state machine."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mmusim.engine.weave import emit
from mmusim.engine.weave.base import ANSWER, Called
from mmusim.engine.weave.build import Builder
from mmusim.engine.weave.expressions import STATE, Expressions
from mmusim.engine.weave.flow import Flow, analyse, behind, tree
from mmusim.engine.weave.graph import Ask, Asked, Block
from mmusim.engine.weave.procedure import Procedure
from mmusim.engine.weave.scope import Meaning, Scope, parameter_kind
from mmusim.engine.weave.vocabulary import NUMBER, Vocabulary


@dataclass(frozen=True, slots=True)
class Woven:
    """What the weaver makes of processes."""

    source: str
    """Functions, each decorated with ``jit``; the names of the vocabulary must be defined."""
    constants: dict[str, Any]
    """Numbers that the text names."""
    begins: dict[str, int]
    """Name of a process -> number of the place where it begins."""
    places: dict[int, str]
    """Number of a place -> procedure, file and line of the process."""
    fields: tuple[str, ...]
    """Whole numbers of each actor: its locals, and where its procedures return to."""
    lists: tuple[str, ...]
    """Arrays of whole numbers of each actor: its lists."""
    asked: tuple[Asked, ...]
    """What Python is asked for, by number."""
    escapes: dict[type[BaseException], int]
    """Exceptions that Python may raise in what it is asked for, and where the actor goes on."""
    texts: tuple[str, ...]
    """Texts that processes assign, by number."""


def weave(words: Vocabulary, *roots: Callable[..., Any], name: str = "go_on") -> Woven:
    """Weave processes of one kind of actor into one state machine.

    Parameters
    ----------
    words : Vocabulary
        What the words of the processes mean.
    roots : generator functions
        The processes. Each may go through others by ``yield from``.
    name : str
        Of the function that lets an actor go on; the one for interrupts ends in ``_interrupted``.

    Raises
    ------
    WeaveError
        If a process uses what is not supported; names file and line.
    """
    expressions = Expressions(words)
    helpers = Helpers(expressions)
    expressions.helper = helpers.name
    flows, texts = [], []
    begins: dict[str, int] = {}
    places: dict[int, str] = {}
    fields: dict[str, None] = {}
    asked: list[Asked] = []
    lists: list[str] = []
    escapes: dict[type[BaseException], int] = {}
    for root in roots:
        prefix = f"{root.__name__}_" if len(roots) > 1 else ""
        builder = Builder(expressions, prefix)
        entry = builder.process(Procedure(root))
        flow = analyse(
            entry, builder.called.values(), builder.escapes.values(), len(places), builder.given
        )
        text = emit.Text(flow, len(asked), words.place, prefix)
        functions = list(text.functions())
        flows.append((flow, text))
        texts += functions
        begins[root.__name__] = flow.places[id(behind(entry))]
        places |= {flow.places[id(h)]: h.where for h in flow.heads if id(h) in flow.places}
        fields |= dict.fromkeys([*sorted(flow.kept), *sorted(text.returns.values())])
        fields |= dict.fromkeys(_arguments(builder, flow))
        asked += builder.asked
        lists += builder.lists
        escapes |= {e: flow.places[id(behind(b))] for e, b in builder.escapes.items()}
    source = "\n\n\n".join(
        [
            *helpers.texts, *texts, emit.goes_on(name, flows),
            emit.interrupted(f"{name}_interrupted", [flow for flow, _ in flows], words.place),
        ]
    )  # fmt: skip
    if f"{STATE}.{ANSWER}[" in source:
        fields[ANSWER] = None
    return Woven(
        source=source + "\n",
        constants=expressions.constants,
        begins=begins,
        places=places,
        fields=tuple(fields),
        lists=tuple(lists),
        asked=tuple(asked),
        escapes=escapes,
        texts=tuple(expressions.texts),
    )


def _arguments(builder: Builder, flow: Flow) -> list[str]:
    most = 0
    for head in flow.heads:
        for block in tree(head, flow):
            if isinstance(block.end, Ask):
                most = max(most, len(block.end.arguments))
    return [f"asked_{n}" for n in range(most)]


class Helpers:
    """Functions without a ``yield`` that processes call: woven as functions."""

    def __init__(self, expressions: Expressions) -> None:
        """Translate their expressions by `expressions`."""
        self._say = expressions
        self._known: dict[Any, str] = {}
        self.texts: list[str] = []

    def name(self, procedure: Procedure) -> str:
        """Return the name of a helper, woven if it is new.

        Raises
        ------
        WeaveError
            If it does what is not supported.
        """
        if procedure.function not in self._known:
            if procedure.name in self._known.values():
                raise procedure.refuse(
                    procedure.tree, "is a second helper of its name", "rename it"
                )
            self._known[procedure.function] = procedure.name
            self.texts.append(self._woven(procedure))
        return procedure.name

    def _woven(self, procedure: Procedure) -> str:
        words, scope = self._say.words, Scope(procedure)
        names = [STATE]
        for parameter in procedure.parameters:
            kind = parameter_kind(words, procedure, parameter)
            if kind in words.static and kind != NUMBER:
                scope.names[parameter.name] = Meaning(ast.Name(STATE, ast.Load()), kind)
            else:
                stands = scope.declare(parameter.name, kind)
                names.append(ast.unparse(stands))
        builder = Builder(self._say)
        entry = Block("")
        builder.called[procedure.name] = Called(procedure, scope, entry, [])
        body = builder.helper(procedure, scope)
        text = "\n".join(ast.unparse(ast.fix_missing_locations(one)) for one in body)
        lines = "\n".join("    " + line for line in text.splitlines())
        return (
            f"@jit\ndef {procedure.name}({', '.join(names)}):\n"
            f"    # {procedure.where(procedure.tree)}\n{lines or '    pass'}"
        )
