"""The schema of experiment files: each key says what it means, in the spelling of files."""

from __future__ import annotations

import json
import tomllib
from typing import Annotated, Any

import jsonschema
import pytest
import tomli_w

from mmusim.base.quantities import Strict, Time, shown
from mmusim.config.driver import Driver
from mmusim.config.schema import (
    Property,
    experiment_schema,
    places,
    properties,
    schema_of,
)

SCHEMA = experiment_schema()
KEYS = list(properties(SCHEMA))


def missing(key: Property) -> list[str]:
    """What a person who reads about a key would miss."""
    found = key.schema
    lacks = [part for part in ("description", "unit", "examples") if not found.get(part)]
    has_default = key.required or "default" in found or "Without" in found.get("description", "")
    return lacks if has_default else [*lacks, "default"]


def test_every_key_has_description_unit_default_and_example() -> None:
    assert {f"{key.table}.{key.key}": lacks for key in KEYS if (lacks := missing(key))} == {}
    assert len(KEYS) > 230


class Undocumented(Strict):
    """A table with one key that says nothing, one that says all."""

    silent: int | None = None
    told: Annotated[Time, shown("2ms")] = 1e6
    """How long it lasts."""


def test_a_key_that_says_nothing_is_found() -> None:
    """Negative control."""
    silent, told = properties(schema_of(Undocumented))
    assert missing(silent) == ["description", "unit", "examples", "default"]
    assert missing(told) == []


@pytest.mark.parametrize("key", KEYS, ids=lambda key: f"{key.table}.{key.key}")
def test_defaults_and_examples_are_spelled_as_files_spell_them(key: Property) -> None:
    accepts = jsonschema.Draft202012Validator({**key.schema, "$defs": SCHEMA["$defs"]})
    values = [
        *key.schema["examples"],
        *([key.schema["default"]] if "default" in key.schema else []),
    ]
    for value in values:
        accepts.validate(value)
        assert tomllib.loads(tomli_w.dumps({"x": value}))["x"] == value


def test_a_default_that_is_spelled_as_a_number_is_refused() -> None:
    """Negative control: pydantic's own schema has the nanoseconds in the place of "300ms"."""
    told = schema_of(Undocumented)["properties"]["told"]
    assert told["default"] == "1ms"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(Undocumented.model_json_schema()["properties"]["told"]["default"], told)


def test_a_default_that_is_written_out_changes_nothing() -> None:
    phases: list[Any] = [{"do": "write"}]
    table = SCHEMA["$defs"]["Driver"]["properties"]
    written = {key: found["default"] for key, found in table.items() if "default" in found}
    assert Driver.model_validate(written | {"phases": phases}) == Driver.model_validate(
        {"phases": phases}
    )


def test_every_table_has_a_place_in_the_file() -> None:
    assert set(places(SCHEMA)) == {key.table for key in KEYS}
    assert "driver.phases[]" in places(SCHEMA)["Touch"]
    assert "workloads.NAME" in places(SCHEMA)["Zipf"]


def test_the_schema_is_json_and_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(json.dumps(SCHEMA)))
