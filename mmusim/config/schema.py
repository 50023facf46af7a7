"""The JSON schema of experiment files, and every key with its explanation.

Descriptions are the docstrings of fields. Defaults have the spelling of files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from mmusim.config.experiment import Experiment
from mmusim.config.field_docstrings import field_docstrings

SCALARS: Final = {"boolean": "true or false", "string": "text", "object": "table"}


class Property(NamedTuple):
    """One key of a table of experiment files."""

    table: str  # name of the class that reads the table; "Experiment" for the file itself
    key: str
    required: bool
    schema: Mapping[str, Any]  # with description, unit and examples; default where there is one


class _AsInFiles(GenerateJsonSchema):
    """Write defaults as files do: with units, without null, empty tables as tables."""

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        found = super().model_schema(schema)
        model: type[BaseModel] = schema["cls"]
        spelled = model.model_construct().model_dump(
            mode="json", by_alias=True, exclude_none=True, warnings=False
        )
        told = field_docstrings(model)
        for name, field in model.model_fields.items():
            key = field.alias or name
            if name in told:
                found["properties"][key].setdefault("description", told[name])
            if not field.is_required():
                found["properties"][key].pop("default", None)
                if field.default_factory is not None:
                    found["properties"][key]["default"] = type(spelled[key])()
                elif key in spelled:
                    found["properties"][key]["default"] = spelled[key]
        return found

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])  # TOML has no null: the key is left out


def experiment_schema() -> dict[str, Any]:
    """Return the JSON schema of experiment files (draft 2020-12).

    Each property has a `description`, a `unit`, `examples`, and a `default` unless it is required
    or its description says what holds without it.
    """
    return schema_of(Experiment)


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON schema of any model in the spelling of files."""
    schema = model.model_json_schema(by_alias=True, schema_generator=_AsInFiles)
    tables = schema.get("$defs", {})
    for table in (schema, *tables.values()):
        for found in table.get("properties", {}).values():
            if "$ref" in found:  # pydantic drops a description that equals that of the table
                found.setdefault("description", _table(found, tables).get("description", ""))
            unit = unit_of(found, tables)
            if unit:
                found.setdefault("unit", unit)
            found.setdefault("examples", _examples(found))
    return schema


def properties(schema: Mapping[str, Any] | None = None) -> Iterator[Property]:
    """Yield every key of every table, the file's own first, then tables by name."""
    schema = experiment_schema() if schema is None else schema
    for name, table in {"Experiment": schema, **schema.get("$defs", {})}.items():
        required = table.get("required", ())
        for key, found in table.get("properties", {}).items():
            yield Property(name, key, key in required, found)


def places(schema: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return where each table stands in a file: ``vm``, ``driver.phases[]``, ``workloads.NAME``."""
    found: dict[str, list[str]] = {"Experiment": [""]}

    def visit(node: Mapping[str, Any], path: str) -> None:
        if "$ref" in node:
            name = node["$ref"].rpartition("/")[2]
            is_new = name not in found
            found.setdefault(name, []).append(path)
            if is_new:
                walk(schema["$defs"][name], path)
        for union in ("anyOf", "oneOf"):
            for choice in node.get(union, ()):
                visit(choice, path)
        if isinstance(node.get("items"), Mapping):
            visit(node["items"], f"{path}[]")
        if isinstance(node.get("additionalProperties"), Mapping):
            visit(node["additionalProperties"], f"{path}.NAME")

    def walk(table: Mapping[str, Any], path: str) -> None:
        for key, node in table.get("properties", {}).items():
            visit(node, f"{path}.{key}" if path else key)

    walk(schema, "")
    return found


def unit_of(found: Mapping[str, Any], tables: Mapping[str, Any]) -> str:
    """Return the unit of a property; empty for a number without one."""
    if "unit" in found:
        return str(found["unit"])
    if "$ref" in found:
        return unit_of(_table(found, tables), tables)
    for union in ("anyOf", "oneOf"):
        if union in found:
            units = [unit_of(choice, tables) for choice in found[union]]
            return " or ".join(dict.fromkeys(filter(None, units)))
    if "enum" in found or "const" in found:
        return "name"
    if found.get("type") == "array":
        items = unit_of(found.get("items", {}), tables)
        return f"list: {items}" if items else "list"
    return SCALARS.get(found.get("type", ""), "")


def _table(found: Mapping[str, Any], tables: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the table that a property refers to."""
    table: Mapping[str, Any] = tables[found["$ref"].rpartition("/")[2]]
    return table


def _examples(found: Mapping[str, Any]) -> list[Any]:
    """Return the examples that a schema itself gives: its only value, or its choices."""
    if "const" in found:
        return [found["const"]]
    return list(found.get("enum", ()))
