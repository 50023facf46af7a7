"""From blocks to the text of a module: a function for each head, and one that goes on by number."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from mmusim.engine.weave.expressions import SELF, STATE
from mmusim.engine.weave.flow import Flow, loaded, stored, tree
from mmusim.engine.weave.graph import Ask, Block, Branch, Finish, Goto, Return, Wait, names_set

ENDS = -62
"""What going on returns when the process is over."""
FIRST_ASK = -64
"""What it returns when Python is to do thing number 0; number 1 is one less, and so on."""
ASTRAY = -63
"""What it returns for a number at which no process goes on, or is not interrupted."""
_STEP = "    "


class Text:
    """The functions of one process."""

    def __init__(self, flow: Flow, first_ask: int, place: str, prefix: str = "") -> None:
        """Write what `flow` says; its requests to Python begin with number `first_ask`.

        `place` is the field with the place where an actor goes on.
        """
        self._place = place
        self._prefix = prefix
        self._flow = flow
        self._heads = {id(head) for head in flow.heads}
        self._names: dict[int, str] = {}
        self._first_ask = first_ask
        self._defined: set[int] = set()
        self._stored: set[str] = set()  # variables of the block being written that are kept
        self.returns: dict[str, str] = {}  # procedure -> field with the number it returns to
        used: set[str] = set()
        for head in flow.heads:
            name = (
                prefix + head.where.split(" ")[0] + "_" + head.where.rpartition(":")[2].rstrip(")")
            )
            while name in used:
                name += "_"
            used.add(name)
            self._names[id(head)] = name

    def name(self, head: Block) -> str:
        """Return the name of the function that a head begins."""
        return self._names[id(head)]

    def goes_back(self, procedure: str) -> str:
        """Return the field of the actor's row with the place that a procedure returns to."""
        return self.returns.setdefault(procedure, f"{self._prefix}{procedure}_goes_back_to")

    def functions(self) -> Iterator[str]:
        """Yield the text of the functions, each after those that it calls."""
        for head in self._flow.heads:
            yield "\n".join(self._function(head))
            self._defined.add(id(head))

    def _function(self, head: Block) -> Iterator[str]:
        yield "@jit"
        yield f"def {self.name(head)}({STATE}, {SELF}):"
        yield f"{_STEP}# {head.where}"
        for name in loaded(head, self._flow):
            yield f"{_STEP}{name} = {STATE}.{name}[{SELF}]"
        body = list(self._block(head, head, _STEP))
        if any(line.strip() == "continue#" for line in body):
            body = list(self._block(head, head, 2 * _STEP))
            yield f"{_STEP}while True:"
        yield from (line.replace("continue#", "continue") for line in body)

    def _block(self, block: Block, head: Block, indent: str) -> Iterator[str]:
        if block is not head:
            yield f"{indent}# {block.where}"
        self._stored = stored(block, self._flow)
        yield from self._code(block.code, indent)
        match block.end:
            case Goto(to, back):
                if back is not None:
                    field = self.goes_back(to.where.split(" ")[0])
                    yield f"{indent}{STATE}.{field}[{SELF}] = {self._flow.places[id(back)]}"
                yield from self._to(to, head, indent)
            case Branch(test, yes, no):
                yield f"{indent}if {_text(test)}:"
                yield from self._to(yes, head, indent + _STEP)
                yield from self._to(no, head, indent)
            case Wait(how, after, _, _):
                yield f"{indent}{STATE}.{self._place}[{SELF}] = {self._flow.places[id(after)]}"
                yield f"{indent}return {_text(how)}"
            case Ask(number, arguments, after):
                for i, argument in enumerate(arguments):
                    yield f"{indent}{STATE}.asked_{i}[{SELF}] = whole({_text(argument)})"
                if after is not None:
                    yield f"{indent}{STATE}.{self._place}[{SELF}] = {self._flow.places[id(after)]}"
                yield f"{indent}return {FIRST_ASK - self._first_ask - number}"
            case Return(procedure):
                yield f"{indent}return {STATE}.{self.goes_back(procedure)}[{SELF}]"
            case Finish():
                yield f"{indent}return {ENDS}"

    def _to(self, to: Block, head: Block, indent: str) -> Iterator[str]:
        if id(to) not in self._heads:
            yield from self._block(to, head, indent)
        elif to is head:
            yield f"{indent}continue#"
        elif id(to) in self._defined and id(to) not in self._flow.far:
            yield f"{indent}return {self.name(to)}({STATE}, {SELF})"
        else:
            yield f"{indent}return {self._flow.places[id(to)]}"

    def _code(self, code: list[ast.stmt], indent: str) -> Iterator[str]:
        """Yield statements; kept variables are written to the actor's row when they are set."""
        for one in code:
            if isinstance(one, ast.If | ast.While | ast.For):
                yield f"{indent}{self._headline(one)}"
                yield from self._stores(one, indent + _STEP, only_head=True)
                yield from self._code(one.body, indent + _STEP)
                if one.orelse:
                    yield f"{indent}else:"
                    yield from self._code(one.orelse, indent + _STEP)
                continue
            yield from (f"{indent}{line}" for line in _text(one).splitlines())
            yield from self._stores(one, indent)

    def _headline(self, one: ast.If | ast.While | ast.For) -> str:
        if isinstance(one, ast.For):
            return f"for {_text(one.target)} in {_text(one.iter)}:"
        return f"{'if' if isinstance(one, ast.If) else 'while'} {_text(one.test)}:"

    def _stores(self, one: ast.stmt, indent: str, only_head: bool = False) -> Iterator[str]:
        part: ast.AST = one
        if only_head:
            part = one.target if isinstance(one, ast.For) else one.test  # type: ignore[attr-defined]
        for name in sorted(names_set(part, self._stored)):
            yield f"{indent}{STATE}.{name}[{SELF}] = whole({name})"


def goes_on(name: str, flows: list[tuple[Flow, Text]]) -> str:
    """Return the text of the function that lets an actor go on at a place until it waits."""
    lines = ["@jit", f"def {name}({STATE}, {SELF}, at):", f"{_STEP}while at >= 0:"]
    word = "if"
    for flow, text in flows:
        for head in flow.heads:
            if id(head) in flow.places:
                lines += [
                    f"{2 * _STEP}{word} at == {flow.places[id(head)]}:",
                    f"{3 * _STEP}at = {text.name(head)}({STATE}, {SELF})",
                ]
                word = "elif"
    lines += [f"{2 * _STEP}else:", f"{3 * _STEP}at = {ASTRAY}", f"{_STEP}return at"]
    return "\n".join(lines)


def interrupted(name: str, flows: list[Flow], place: str) -> str:
    """Return the text of the function that returns the place of an actor that is interrupted."""
    lines = ["@jit", f"def {name}({STATE}, {SELF}, cause):", f"{_STEP}at = {STATE}.{place}[{SELF}]"]
    for flow in flows:
        for head in flow.heads:
            for block in tree(head, flow):
                match block.end:
                    case Wait(_, after, other, cause) if other is not None:
                        lines.append(f"{_STEP}if at == {flow.places[id(after)]}:")
                        if cause in flow.kept:
                            lines.append(f"{2 * _STEP}{STATE}.{cause}[{SELF}] = cause")
                        lines.append(f"{2 * _STEP}return {flow.places[id(other)]}")
    return "\n".join([*lines, f"{_STEP}return {ASTRAY}"])


def _text(node: ast.AST) -> str:
    return ast.unparse(ast.fix_missing_locations(node))
