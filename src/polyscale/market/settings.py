"""What every stage's config is: frozen, and strict about its keys; and how a broken rule is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from polyscale.market.errors import ConfigError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


class Settings(BaseModel):
    """A frozen pydantic model that refuses unknown keys and re-checks defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


@contextmanager
def as_config_error(names: Mapping[str, str] = MappingProxyType({})) -> Iterator[None]:
    """Raise what settings refuse as a `ConfigError`: thing, rule, value.

    Parameters
    ----------
    names
        What fields are called by the function that was given their values, where it is not their own name.
    """
    try:
        yield
    except ValidationError as error:
        raise ConfigError("; ".join(_sentence(found, names) for found in error.errors())) from error


def is_whole(value: object, least: int = 1) -> bool:
    """Whether it is a whole number, NumPy's own too; not True, which Python takes for 1."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def whole(value: Any, what: str, least: int = 1) -> int:
    """Take a whole number.

    Raises
    ------
    ConfigError
        If it is none, or less than ``least``.
    """
    if not is_whole(value, least):
        raise ConfigError(f"{what} must be a whole number >= {least}, got {value!r}")
    return int(value)


def _sentence(found: ErrorDetails, names: Mapping[str, str]) -> str:
    rule = found["msg"].removeprefix("Value error, ").replace("Input should", "must")
    if found["type"] == "value_error":  # a rule of ours, which names its thing and its value
        return rule
    place = str(found["loc"][0])
    return f"{names.get(place, place)}: {rule}, got {found['input']!r}"
