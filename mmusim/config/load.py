"""Read TOML, check it against a model, and report all errors at once."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from mmusim.base.errors import Complaint, ConfigError, MisfitError, MisfitsError, nearest
from mmusim.base.parsing import read_toml
from mmusim.base.units import parse_ns, show_ns
from mmusim.config.renamed import renamed, with_new_names

Model = TypeVar("Model", bound=BaseModel)

_FIXED = {  # pydantic's type of error -> rule, remedy
    "missing": ("is required", "add it"),
    "string_type": ("must be text", "write one text in quotes"),
    "int_type": ("must be a whole number", "write a whole number without quotes, point or unit"),
    "float_type": ("must be a number", "write a number without quotes or unit"),
    "bool_type": ("must be true or false", "write one of them without quotes"),
    "list_type": ("must be a list", "put it in [ ]"),
    "dict_type": ("must be a table", "write it as { key = value }"),
    "model_attributes_type": ("must be a table", "write it as { key = value }"),
    "finite_number": ("must be finite", "write a number"),
    "model_type": ("must be a table", "write it as { key = value }"),
    "string_too_short": ("must not be empty", "fill it in"),
    "string_pattern_mismatch": (  # `id` alone has a pattern
        "must be words of a to z and 0 to 9, a hyphen between them",
        "write e.g. my-guest",
    ),
}

_BOUNDS = {  # by pydantic's kind of error: the name of the bound, the rule, the remedy
    "greater_than": ("gt", "more than", "larger"),
    "greater_than_equal": ("ge", "at least", "larger"),
    "less_than": ("lt", "less than", "smaller"),
    "less_than_equal": ("le", "at most", "smaller"),
}


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
        found = [one for e in error.errors() for one in _complaints(e, model, source)]
    raise ConfigError([*found, *_under_new_names(data, model, source, found)])


def _under_new_names(
    data: Mapping[str, Any], model: type[Model], source: str, found: Sequence[Complaint]
) -> list[Complaint]:
    """Return what would come up next, once keys of old names have their new ones."""
    newer = with_new_names(data)
    if newer is None:
        return []
    known = {(one.key, one.rule) for one in found}
    try:
        check(newer, model, source)
    except ConfigError as error:
        return [one for one in error.complaints if (one.key, one.rule) not in known]
    return []


def _complaints(error: Any, model: type[BaseModel], source: str) -> list[Complaint]:
    many = error.get("ctx", {}).get("error")
    if isinstance(many, MisfitsError):
        return [one for misfit in many.misfits for one in misfit.complaint(source).complaints]
    if isinstance(many, ConfigError):  # about something that the input names, e.g. a policy
        return [
            replace(one, source=source, key=f"{one.source}.{one.key}") for one in many.complaints
        ]
    return [_complaint(error, model, source)]


def _complaint(error: Any, model: type[BaseModel], source: str) -> Complaint:
    kind, ctx, value = error["type"], error.get("ctx", {}), error["input"]
    unknown = kind == "extra_forbidden"
    place = _Place(model, error["loc"][:-1] if unknown else error["loc"])
    key = _written([*place.keys, error["loc"][-1]] if unknown else place.keys) or "file"
    if kind == "missing" or isinstance(value, (dict, BaseModel)):
        value = None
    if unknown:
        rule, remedy = renamed(key, value) or (
            "is not a known key", nearest(str(error["loc"][-1]), place.known_keys())
        )  # fmt: skip
    elif kind == "value_error" and isinstance(ctx["error"], MisfitError):
        misfit = ctx["error"]
        rule, _, remedy = str(misfit).partition("; ")
        is_whole = misfit.key.partition(".")[0].partition("[")[0] in _Place(model, ()).known_keys()
        key = misfit.key if is_whole or not place.keys else f"{key}.{misfit.key}"
        value = misfit.value
    elif kind == "value_error":
        rule, _, remedy = str(ctx["error"]).partition("; ")
    elif kind in ("literal_error", "enum"):
        expected = ctx["expected"].replace(" or ", ", ").split(", ")
        choices = [choice.strip("'") for choice in expected]
        rule, remedy = "is not one of the choices", nearest(str(value), choices)
    elif kind in ("union_tag_invalid", "union_tag_not_found"):
        name = ctx["discriminator"].strip("'()")
        key, value = f"{key}.{name}", ctx.get("tag")
        rule = "is not one of the choices" if value else "is required"
        remedy = nearest(str(value), place.tags(name)) if value else _choose(place.tags(name))
    elif kind in ("too_long", "string_too_long"):
        unit = "characters" if kind == "string_too_long" else "entries"
        value, remedy = None, "shorten it"
        rule = f"must have at most {ctx['max_length']:,} {unit}"
    elif kind == "too_short":
        least = ctx["min_length"]
        rule = "must not be empty" if least == 1 else f"must have at least {least} entries"
        remedy = "add at least one entry" if least == 1 else "complete it"
    elif kind in _BOUNDS:
        bound, words, change = _BOUNDS[kind]
        number = _as_written(ctx[bound], value)
        rule, remedy = f"must be {words} {number}", f"write a {change} value"
    elif kind in _FIXED:
        rule, remedy = _FIXED[kind]
    else:
        rule, remedy = error["msg"][0].lower() + error["msg"][1:], "correct the value"
    return Complaint(source, key, value, rule, remedy)


def _as_written(bound: float, value: Any) -> str:
    """Write a bound in the unit that the value has in its file."""
    if bound and isinstance(value, str):
        with suppress(ValueError):
            parse_ns(value)
            return show_ns(bound)
    return f"{bound:,}".removesuffix(".0")


def _choose(names: Sequence[str]) -> str:
    return "choose " + ", ".join(names)


def _written(keys: Sequence[str | int]) -> str:
    """Write a place as in the file, lists counted from one: ``driver.phases[2].order``."""
    out = ""
    for key in keys:
        out += f"[{key + 1}]" if isinstance(key, int) else f".{key}" if out else str(key)
    return out


class _Place:
    """The place of an error in a model.

    The location of pydantic has, besides keys, the tags by which unions chose a model, and "[key]"
    where a key of a table is wrong. Neither stands in a file.
    """

    def __init__(self, model: type[BaseModel], loc: Sequence[Any]) -> None:
        self.keys: list[str | int] = []
        self.models: list[type[BaseModel]] = [model]
        is_table = False  # the author of the file chooses its keys
        for part in loc:
            field = None if is_table else self._field(part)
            if isinstance(part, int) or is_table or not self.models:
                self.keys.append(part)
                is_table = False
            elif field is not None:
                self.keys.append(part)
                self.models = _models(field)
                is_table = _is_table(field)
            elif any(
                "__pydantic_extra__" in vars(m).get("__annotations__", {}) for m in self.models
            ):
                self.keys.append(part)  # beside the model's own keys, any are allowed
                self.models = []
            elif part != "[key]":
                chosen = [m for m in self.models if part in _literals(m)]
                self.models = chosen or self.models

    def _field(self, part: Any) -> Any:
        for model in self.models:
            for name, field in model.model_fields.items():
                if part == (field.alias or name):
                    return field.annotation
        return None

    def known_keys(self) -> list[str]:
        """Return the keys that are allowed here."""
        fields = [item for model in self.models for item in model.model_fields.items()]
        return sorted({field.alias or name for name, field in fields})

    def tags(self, name: str) -> list[str]:
        """Return the values of a discriminating key."""
        fields = [model.model_fields[name] for model in self.models if name in model.model_fields]
        return [tag for field in fields for tag in get_args(field.annotation)]


def _literals(model: type[BaseModel]) -> set[Any]:
    return {arg for field in model.model_fields.values() for arg in get_args(field.annotation)}


def _is_table(annotation: Any) -> bool:
    return get_origin(annotation) is dict


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Return every model that an annotation mentions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, types.UnionType, Annotated, list, tuple, dict):
        return [found for arg in get_args(annotation) for found in _models(arg)]
    return []
