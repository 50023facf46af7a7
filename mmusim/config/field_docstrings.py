"""The docstrings below the fields of models, read from the source when a schema is asked for.

pydantic can read them when a class is made. With a hundred models that was a quarter of the time
that every start takes, and only a schema needs them.
"""

from __future__ import annotations

import ast
import inspect
import sys
from functools import cache
from itertools import pairwise
from typing import Any

from pydantic import BaseModel


def field_docstrings(model: type[BaseModel]) -> dict[str, str]:
    """Return the docstring below each field of a model, of those that have one.

    A field that a model inherits has that of the class which defines it. A class whose source
    cannot be read has none.
    """
    found: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        if issubclass(cls, BaseModel) and cls is not BaseModel:
            found |= _in_module(cls.__module__).get(cls.__name__, {})
    return found


@cache
def _in_module(name: str) -> dict[str, dict[str, str]]:
    """Return the docstrings of the fields of all classes of a module, by the class's name."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[name]))
    except (OSError, KeyError, TypeError):
        return {}
    return {
        node.name: _below_fields(node.body)
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }


def _below_fields(body: list[ast.stmt]) -> dict[str, str]:
    found: dict[str, str] = {}
    for field, below in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            told: Any = below.value if isinstance(below, ast.Expr) else None
            if isinstance(told, ast.Constant) and isinstance(told.value, str):
                found[field.target.id] = inspect.cleandoc(told.value)
    return found
