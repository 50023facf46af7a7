"""Arguments that need no copy: a procedure reads the caller's own variable.

While a procedure goes on its caller does not, so a local of the caller keeps its value. Where
every call gives the same local, and the procedure does not assign to the parameter, both are one
variable.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable

from mmusim.engine.weave.base import Called
from mmusim.engine.weave.graph import Ask, Block, Branch, Wait


def share_arguments(called: Iterable[Called], blocks: list[Block], variables: set[str]) -> None:
    """Let parameters be the variables that calls pass for them, where that changes nothing."""
    stores = Counter(
        node.id
        for block in blocks
        for one in block.code
        for node in ast.walk(one)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    )
    same: dict[str, str] = {}
    for one in called:
        for parameter, given in one.given.items():
            values = {ast.unparse(call.assign.value) for call in given}
            (value, *others) = values
            if not others and value in variables and stores[parameter] == len(given):
                same[parameter] = value
                for call in given:
                    call.block.code.remove(call.assign)
    for parameter in same:
        while same[parameter] in same:
            same[parameter] = same[same[parameter]]
    _rename(blocks, same)


def _rename(blocks: list[Block], same: dict[str, str]) -> None:
    for block in blocks:
        parts: list[ast.AST] = [*block.code]
        match block.end:
            case Branch(test, _, _):
                parts.append(test)
            case Wait(how, _, _, _):
                parts.append(how)
            case Ask(_, arguments, _):
                parts += arguments
        for part in parts:
            for node in ast.walk(part):
                if isinstance(node, ast.Name):
                    node.id = same.get(node.id, node.id)
