"""Which blocks begin a function of the state machine, and which locals outlive a function."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from mmusim.engine.weave.base import Called
from mmusim.engine.weave.graph import (
    ESCAPES,
    Ask,
    Block,
    Branch,
    Goto,
    Return,
    Wait,
    end_reads,
    exposed,
    successors,
)
from mmusim.engine.weave.sharing import share_arguments


@dataclass(slots=True)
class Flow:
    """A process as functions: each head with the blocks that only it leads to."""

    heads: list[Block]  # in the order in which they are defined: callees first
    places: dict[int, int]  # id of a head -> number by which it is gone on at
    kept: set[str]  # variables that live in the actor's row
    variables: set[str]
    alive: dict[int, set[str]]  # id of a block -> variables that it, or what follows, reads
    returns_to: dict[str, list[Block]]
    far: set[int]  # ids of heads that are gone on with by number, never by a call


def analyse(
    entry: Block,
    called: Iterable[Called],
    escapes: Iterable[Block],
    first_place: int,
    given: set[str],
) -> Flow:
    """Find heads, their order and their numbers, and the variables to keep.

    A head is a block that is gone on at from outside, or that more than one block leads to. What
    is gone through from several places is gone on with by number: LLVM would put a copy of it into
    each of them. Variables that are `given` are in the row when the process begins.
    """
    procedures = {one.procedure.name: one for one in called}
    _return_directly(entry, procedures, list(escapes))
    returns_to = {name: [behind(b) for b in one.sites] for name, one in procedures.items()}
    returns_to[ESCAPES] = ends = [behind(block) for block in escapes]
    entry = behind(entry)
    blocks = _reached([entry, *ends], returns_to)
    share_arguments(procedures.values(), blocks, _variables(blocks) | given)
    variables = _variables(blocks) | given
    far = {id(behind(one.entry)) for one in procedures.values() if len(one.sites) > 1}
    heads, outside = _heads([entry, *ends], blocks, returns_to)
    order, back = _ordered(heads)
    numbers = [block for block in order if id(block) in outside | back | far]
    places = {id(block): first_place + n for n, block in enumerate(numbers)}
    alive = _alive(blocks, returns_to, variables)
    kept = {name for head in heads for name in alive[id(head)]}
    return Flow(order, places, kept, variables, alive, returns_to, far)


def behind(block: Block) -> Block:
    """Return the first block from `block` on that has statements or does not just go on."""
    seen: set[int] = set()
    while not block.code and isinstance(block.end, Goto) and block.end.back is None:
        if id(block) in seen:
            break
        seen.add(id(block))
        block = block.end.to
    return block


def _return_directly(entry: Block, called: dict[str, Called], escapes: list[Block]) -> None:
    """Let procedures that are called once go straight on behind the call; skip empty blocks."""
    returns_to = {name: one.sites for name, one in called.items()}
    blocks = _reached([entry, *escapes], returns_to)
    once = {name for name, one in called.items() if len(one.sites) == 1}
    for block in blocks:
        if isinstance(block.end, Return) and block.end.procedure in once:
            block.end = Goto(called[block.end.procedure].sites[0])
        if isinstance(block.end, Goto) and block.end.back is not None:
            name = next(n for n, one in called.items() if one.entry is block.end.to)
            if name in once:
                block.end = Goto(block.end.to)
    for block in blocks:
        match block.end:
            case Goto(to, back):
                block.end = Goto(behind(to), None if back is None else behind(back))
            case Branch(test, yes, no):
                block.end = Branch(test, behind(yes), behind(no))


def _reached(starts: list[Block], returns_to: dict[str, list[Block]]) -> list[Block]:
    found: dict[int, Block] = {}
    left = list(reversed(starts))
    while left:
        block = left.pop()
        if id(block) in found:
            continue
        found[id(block)] = block
        left += reversed(successors(block, returns_to))
    return list(found.values())


def _variables(blocks: list[Block]) -> set[str]:
    stored = {
        node.id
        for block in blocks
        for one in block.code
        for node in ast.walk(one)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    return stored | {b.end.cause for b in blocks if isinstance(b.end, Wait) and b.end.cause}


def _heads(
    begins: list[Block], blocks: list[Block], returns_to: dict[str, list[Block]]
) -> tuple[list[Block], set[int]]:
    """Return the heads, and of which of them the number is needed."""
    outside = {id(block) for block in begins}
    leads_to: Counter[int] = Counter()
    for block in blocks:
        match block.end:
            case Wait(_, after, interrupted, _):
                outside |= {id(after)} | ({id(interrupted)} if interrupted is not None else set())
            case Ask(_, _, after) if after is not None:
                outside.add(id(after))
            case Return(procedure):
                outside |= {id(site) for site in returns_to[procedure]}
            case Goto(to, _):
                leads_to[id(to)] += 1
            case Branch(_, yes, no):
                leads_to[id(yes)] += 1
                leads_to[id(no)] += 1
    many = {number for number, count in leads_to.items() if count > 1}
    heads = [block for block in blocks if id(block) in outside | many]
    return heads, outside


def tree(head: Block, flow: Flow) -> list[Block]:
    """Return the blocks of a head's function: those that only it leads to."""
    return _tree(head, {id(one) for one in flow.heads})


def _tree(head: Block, heads: set[int]) -> list[Block]:
    found, left = [], [head]
    while left:
        block = left.pop()
        found.append(block)
        left += [to for to in directly(block) if id(to) not in heads]
    return found


def directly(block: Block) -> list[Block]:
    """Return the blocks with which a block goes on without waiting."""
    match block.end:
        case Goto(to, _):
            return [to]
        case Branch(_, yes, no):
            return [yes, no]
    return []


def _ordered(heads: list[Block]) -> tuple[list[Block], set[int]]:
    """Order heads so that each comes behind those it goes straight on with, loops apart.

    Returns the order, and the heads of loops that go on by number.
    """
    numbers = {id(head) for head in heads}
    by_id = {id(head): head for head in heads}
    order: list[Block] = []
    back: set[int] = set()
    state: dict[int, int] = {}

    def visit(head: Block) -> None:
        state[id(head)] = 1
        for block in _tree(head, numbers):
            for to in directly(block):
                if id(to) not in numbers or to is head:
                    continue
                if state.get(id(to)) == 1:
                    back.add(id(to))
                elif id(to) not in state:
                    visit(by_id[id(to)])
        state[id(head)] = 2
        order.append(head)

    for head in heads:
        if id(head) not in state:
            visit(head)
    return order, back


def _alive(
    blocks: list[Block], returns_to: dict[str, list[Block]], variables: set[str]
) -> dict[int, set[str]]:
    """Return for each block the variables that it or what follows reads before setting them."""
    alive: dict[int, set[str]] = {id(block): set() for block in blocks}
    facts = {id(block): exposed(block.code, variables) for block in blocks}
    changed = True
    while changed:
        changed = False
        for block in reversed(blocks):
            out = {name for to in successors(block, returns_to) for name in alive[id(to)]}
            reads, sets = facts[id(block)]
            new = reads | ((out | end_reads(block, variables)) - sets)
            if new != alive[id(block)]:
                alive[id(block)], changed = new, True
    return alive


def stored(block: Block, flow: Flow) -> set[str]:
    """Return the variables that a later function reads with the values that they have behind a
    block.
    """
    heads = {id(one) for one in flow.heads}

    def wanted(block: Block) -> set[str]:
        found: set[str] = set()
        straight = directly(block)
        for to in successors(block, flow.returns_to):
            if id(to) in heads or not any(to is one for one in straight):
                found |= flow.alive[id(to)]
            else:
                found |= wanted(to) - exposed(to.code, flow.variables)[1]
        return found

    return wanted(block) & flow.kept


def loaded(head: Block, flow: Flow) -> list[str]:
    """Return the kept variables that a head's function reads before it sets them."""
    heads = {id(one) for one in flow.heads}
    needed: set[str] = set()

    def walk(block: Block, defined: set[str]) -> None:
        reads, sets = exposed(block.code, flow.variables)
        needed.update(reads - defined)
        defined = defined | sets
        needed.update(end_reads(block, flow.variables) - defined)
        for to in directly(block):
            if id(to) not in heads:
                walk(to, defined)

    walk(head, set())
    return sorted(needed & flow.kept)
