"""The reference of experiment files, from the JSON schema that `mmusim schema` prints."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

import tomli_w

from mmusim.config.schema import Property, experiment_schema, places, properties


def markdown() -> str:
    """Return a section for each table, in the order in which a file leads to them."""
    schema = experiment_schema()
    where = places(schema)
    tables = {name: list(keys) for name, keys in groupby(properties(schema), lambda p: p.table)}
    lines: list[str] = []
    for name in where:
        if name in tables:
            table = schema if name == "Experiment" else schema["$defs"][name]
            lines += _section(where[name], table, tables[name])
    return "\n".join(lines)


def _section(paths: list[str], table: Mapping[str, Any], keys: list[Property]) -> Iterator[str]:
    yield f"## {_title(paths[0], table)}\n"
    yield _prose(table.get("description", "")) + "\n"
    others = [f"`{path}`" for path in paths[1:4]]
    if others:
        more = " and elsewhere" if len(paths) > 4 else ""
        yield f"It also stands at {', '.join(others)}{more}.\n"
    yield "| key | meaning | unit | default | example |\n|---|---|---|---|---|"
    for key in keys:
        yield "| " + " | ".join(_row(key)) + " |"
    yield ""


def _title(path: str, table: Mapping[str, Any]) -> str:
    if not path:
        return "The file"
    written = f"[[{path[:-2]}]]" if path.endswith("[]") else f"[{path}]"
    for key in ("do", "pattern", "kind", "rule"):
        kind = table["properties"].get(key, {})
        names = kind.get("enum") or [kind[const] for const in ("const",) if const in kind]
        if names:
            return f"`{written}` with {key} = {', '.join(names)}"
    return f"`{written}`"


def _row(key: Property) -> list[str]:
    found = key.schema
    meaning = _prose(found["description"])
    choices = found.get("enum", ())
    if 1 < len(choices) <= 12:
        meaning += " One of " + ", ".join(f"`{choice}`" for choice in choices) + "."
    default = "required" if key.required else ""
    if "default" in found:
        default = f"`{_toml(found['default'])}`"
    return [
        f"`{key.key}`", _cell(meaning), _cell(found["unit"]), _cell(default),
        _cell(f"`{_toml(found['examples'][0])}`"),
    ]  # fmt: skip


def _toml(value: Any) -> str:
    """Write a value as TOML does, in one line."""
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(key)} = {_toml(item)}" for key, item in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return tomli_w.dumps({"x": value}).removeprefix("x = ").strip()


def _key(key: str) -> str:
    return key if key.replace("-", "").replace("_", "").isalnum() else json.dumps(key)


def _prose(text: str) -> str:
    return text.replace("``", "`")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
