"""The configs that come with the product."""

from __future__ import annotations

from pathlib import Path

from polyscale.market.errors import ConfigError

_IN_WHEEL = Path(__file__).parent / "presets"
_IN_CHECKOUT = Path(__file__).resolve().parents[3] / "configs"


def preset(name: str) -> Path:
    """Path of ``demo``, ``default``, ``btc_5m`` or ``full``.

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    folder = _IN_WHEEL if _IN_WHEEL.is_dir() else _IN_CHECKOUT
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = sorted(found.stem for found in folder.glob("*.yaml"))
        raise ConfigError(f"preset must be one of {known}, got {name!r}")
    return path
