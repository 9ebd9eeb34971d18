"""The configuration reference: every key of a run's config, from the pydantic models.

In: `RunConfig` and the models inside it. Out: Markdown, a section per model with a table of its keys (type
and range, default, meaning) and the rules that its validators keep, which their docstrings tell.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from typing import Any, Final, Literal, Union, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo

from polyscale.config.run_config import RunConfig
from polyscale.market.settings import Settings
from polyscale.market.timeframe import Timeframe
from reference.table import code, table

_WORDS: Final = {
    bool: "true or false",
    int: "integer",
    float: "number",
    str: "text",
    date: "date",
    datetime: "time",
    Timeframe: "timeframe",
}
_BOUNDS: Final = {
    annotated_types.Ge: ("ge", "≥"),
    annotated_types.Gt: ("gt", ">"),
    annotated_types.Le: ("le", "≤"),
    annotated_types.Lt: ("lt", "<"),
}
_MANY: Final = 8  # values of a default, beyond which they stand below the table


@dataclass(frozen=True)
class Section:
    """A model at a place of the config: ``data.scales[]``."""

    place: str
    model: type[Settings]


def markdown() -> str:
    """The reference."""
    seen: dict[type[Settings], str] = {}
    parts = []
    for section in sections():
        first = seen.setdefault(section.model, section.place)
        parts.append(_repeated(section, first) if first != section.place else described(section))
    return "\n".join(parts)


def sections() -> list[Section]:
    """The config itself, and every model inside it, in the order of the keys."""
    return [Section("", RunConfig), *_inside(RunConfig, "")]


def rules(model: type[Settings]) -> list[str]:
    """What the validators of a model keep: the items of their docstrings, or else the first line.

    Raises
    ------
    ValueError
        If a validator tells nothing.
    """
    decorated = model.__pydantic_decorators__
    found = []
    for name, each in {**decorated.field_validators, **decorated.model_validators}.items():
        told = inspect.cleandoc(each.func.__doc__ or "")
        if not told:
            raise ValueError(f"{model.__name__}.{name} must tell its rule in its docstring")
        items = told.replace("\n  ", " ").splitlines()
        found += [line.removeprefix("- ") for line in items if line.startswith("- ")] or [items[0]]
    return [rule.rstrip(".") for rule in found]


def kind(field: FieldInfo) -> str:
    """Type and range of a key, in words."""
    return ", ".join([_type(field.annotation), *_bounds(field)])


def default(field: FieldInfo) -> str:
    """What a key is if it is not given, as YAML."""
    if field.is_required():
        return "**required**"
    value = field.default
    if value is None:
        return "absent"
    if isinstance(value, Settings):
        return "its defaults"
    if isinstance(value, tuple) and len(value) > _MANY:
        return "below"
    return code(_yaml(value))


def _inside(model: type[Settings], place: str) -> Iterator[Section]:
    for name, field in model.model_fields.items():
        inner, _ = _model(field.annotation)
        if inner is not None:
            at = _place(place, name, field)
            yield Section(at, inner)
            yield from _inside(inner, at)


def described(section: Section) -> str:
    """Heading, keys and rules of one model.

    Raises
    ------
    ValueError
        If a key has no description, or a validator tells no rule.
    """
    model = section.model
    level = "##" if not section.place or "." not in section.place else "###"
    title = code(section.place) if section.place else "The whole file"
    rows = [
        [_key(section.place, name, field), kind(field), default(field), _meaning(model, name, field)]
        for name, field in model.model_fields.items()
    ]
    long = [
        f"Default of {code(name)}: {', '.join(code(str(each)) for each in field.default)}.\n"
        for name, field in model.model_fields.items()
        if not field.is_required() and default(field) == "below"
    ]
    kept = [f"- {rule}" for rule in rules(model)]
    return "\n".join(
        [
            f"{level} {title}\n",
            (inspect.getdoc(model) or "") + "\n",
            table(["key", "type and range", "default", "meaning"], rows),
            *long,
            *(["Rules:\n", *kept, ""] if kept else []),
        ]
    )


def _repeated(section: Section, first: str) -> str:
    return f"### {code(section.place)}\n\nThe keys of {_link(first, first)}.\n"


def _key(place: str, name: str, field: FieldInfo) -> str:
    """The name, which leads to its section if it is one."""
    inner, _ = _model(field.annotation)
    return code(name) if inner is None else _link(name, _place(place, name, field))


def _place(place: str, name: str, field: FieldInfo) -> str:
    _, many = _model(field.annotation)
    return f"{place}.{name}".lstrip(".") + ("[]" if many else "")


def _link(text: str, place: str) -> str:
    return f"[{code(text)}](#{place.replace('.', '').replace('[]', '')})"


def _meaning(model: type[Settings], name: str, field: FieldInfo) -> str:
    if not field.description:
        raise ValueError(f"{model.__name__}.{name} must have a description")
    return field.description


def _model(annotation: Any) -> tuple[type[Settings] | None, bool]:
    """The settings inside ``X``, ``X | None`` or ``tuple[X, ...]``, and whether there are many."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return annotation, False
    for inner in get_args(annotation):
        found, many = _model(inner)
        if found is not None:
            return found, many or get_origin(annotation) is tuple
    return None, False


def _type(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join(_type(each) for each in inner if each is not types.NoneType)
    if origin is Literal:
        return ", ".join(code(str(each)) for each in inner)
    if origin is tuple:
        return "list" if inner[0] is str else f"list of {_type(inner[0])}s"
    if issubclass(annotation, Enum):
        return ", ".join(code(str(each.value)) for each in annotation)
    return "section" if issubclass(annotation, Settings) else _WORDS[annotation]


def _bounds(field: FieldInfo) -> list[str]:
    found = []
    for rule in field.metadata:
        if type(rule) in _BOUNDS:
            name, sign = _BOUNDS[type(rule)]
            found.append(f"{sign} {getattr(rule, name):g}")
        elif isinstance(rule, annotated_types.MinLen):
            found.append("not empty" if rule.min_length == 1 else f"at least {rule.min_length}")
        elif getattr(rule, "pattern", None):
            found.append(f"matches {code(rule.pattern)}")
        else:
            raise ValueError(f"no words for the rule {rule!r}")
    return found


def _yaml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_yaml, value))}]"
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value).lower() if isinstance(value, bool) else str(value)
