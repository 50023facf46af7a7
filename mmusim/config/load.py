"""Read TOML, check it against a model, and report everything that is wrong at once."""

from __future__ import annotations

import tomllib
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from mmusim.errors import Complaint, ConfigError, nearest

Model = TypeVar("Model", bound=BaseModel)

_TAGS = (
    "constant",
    "shape",
    "inline-workload",
    "workload-file",
)  # of unions; not part of what is written
_FIXED = {  # pydantic's type of error -> rule, remedy
    "missing": ("is required", "add it"),
    "string_type": ("must be text", "put it in quotes"),
    "int_type": ("must be a whole number", "write it without quotes or point"),
    "float_type": ("must be a number", "write it without quotes"),
    "bool_type": ("must be true or false", "write it without quotes"),
    "list_type": ("must be a list", "put it in [ ]"),
    "dict_type": ("must be a table", "write it as { key = value }"),
    "model_type": ("must be a table", "write it as { key = value }"),
    "too_short": ("must not be empty", "add at least one entry"),
    "string_too_short": ("must not be empty", "fill it in"),
}


def read_toml(path: Path) -> dict[str, Any]:
    """Parse a TOML file.

    Raises
    ------
    ConfigError
        If it cannot be read or is not TOML.

    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise ConfigError.of(
            str(path), "file", None, f"cannot be read ({e.strerror})", "check path and permissions"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise ConfigError.of(
            str(path), "file", None, f"is not valid TOML: {e}", "mend the syntax at that place"
        ) from None


def load(path: Path, model: type[Model]) -> Model:
    """Read a TOML file as `model`.

    Raises
    ------
    ConfigError
        With every complaint about the file.

    """
    return check(read_toml(path), model, str(path))


def check(data: Mapping[str, Any], model: type[Model], source: str) -> Model:
    """Validate parsed data as `model`; `source` names it in messages.

    Raises
    ------
    ConfigError
        With every complaint about the data.

    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ConfigError([_complaint(e, model, source) for e in error.errors()]) from None


def _complaint(error: Any, model: type[BaseModel], source: str) -> Complaint:
    kind, ctx = error["type"], error.get("ctx", {})
    loc = [part for part in error["loc"] if part not in _TAGS]
    key = _key(loc, error["input"]) or "file"
    value = None if kind == "missing" or isinstance(error["input"], dict) else error["input"]
    if kind == "extra_forbidden":
        rule, remedy = "is not a known key", nearest(str(loc[-1]), known_keys(model, loc[:-1]))
    elif kind == "value_error":
        rule, _, remedy = str(ctx["error"]).rpartition("; ")
    elif kind in ("literal_error", "enum"):
        rule, remedy = "is not one of the choices", f"choose {ctx['expected']}"
        choices = [
            choice.strip("'") for choice in ctx["expected"].replace(" or ", ", ").split(", ")
        ]
        if isinstance(value, str):
            remedy = nearest(value, choices)
    elif kind in ("union_tag_invalid", "union_tag_not_found"):
        expected = [tag.strip("'") for tag in ctx.get("expected_tags", "").split(", ")]
        tag = ctx.get("tag")
        name = ctx["discriminator"].strip("'")
        key = f"{key}.{name}" if key != "file" else name
        value = tag
        rule = "is not one of the choices" if tag else "is required"
        remedy = nearest(str(tag), expected) if tag else "choose " + ", ".join(expected)
    elif kind in _FIXED:
        rule, remedy = _FIXED[kind]
    else:
        rule, remedy = error["msg"][0].lower() + error["msg"][1:], "correct the value"
    return Complaint(source, key, value, rule, remedy)


def _key(loc: list[Any], _value: Any) -> str:
    """Write a location as in the file: ``driver.phases[2].order``."""
    out = ""
    for part in loc:
        out += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if out else str(part)
    return out


def known_keys(model: type[BaseModel], loc: list[Any]) -> list[str]:
    """Return the keys allowed at a location, for the remedy of an unknown one."""
    candidates: list[Any] = [model]
    for part in loc:
        inner = [inside for c in candidates for inside in _models(_step(c, part))]
        tagged = [c for c in candidates if _has_tag(c, part)]
        candidates = inner or tagged or candidates
    return sorted({name for c in candidates for name in c.model_fields})


def _step(model: type[BaseModel], part: Any) -> Any:
    field = model.model_fields.get(part) if isinstance(part, str) else None
    return field.annotation if field is not None else None


def _has_tag(model: type[BaseModel], part: Any) -> bool:
    """Tell whether `part` is the tag by which a union chose this model."""
    return any(
        part in get_args(model.model_fields[name].annotation)
        for name in ("do", "pattern", "kind")
        if name in model.model_fields
    )


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Return every model that an annotation mentions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, types.UnionType, Annotated, list, tuple, dict):
        return [found for arg in get_args(annotation) for found in _models(arg)]
    return []
