"""The page about the chapter: what it points at exists, nothing is missing, its figures are those kept."""

import ast
import json
import re
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
from pydantic import BaseModel

from polyscale.config.run_config import RunConfig

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "chapter.md").read_text(encoding="utf-8")
SOURCE = ROOT / "src" / "polyscale"
PACKAGES = {path.name for path in SOURCE.iterdir() if path.is_dir()}
TITLES = (
    "Введение",
    "Почему несколько временных масштабов?",
    "Ключевые преимущества",
    "Сравнение с одномасштабными моделями",
    "Архитектура",
    "Энкодеры для каждого масштаба",
    "Конфигурации для разных масштабов",
    "Многоуровневое внимание",
    "Кросс-масштабное слияние",
    "Иерархическая агрегация",
    "Декомпозиция временных масштабов",
    "Практические примеры",
    "Подготовка данных",
    "Обучение модели",
    "Многогоризонтное прогнозирование",
    "Бэктестинг стратегии",
    "Реализация на Rust",
    "Быстрый старт",
    "Лучшие практики",
    "Когда использовать",
    "Рекомендации по гиперпараметрам",
    "Распространённые ошибки",
    "Оптимизация производительности",
    "Ресурсы",
    "Научные работы",
    "Связанные главы",
    "Реализации",
)
NAMES = (
    "fetch_bybit_klines",
    "create_multi_scale_features",
    "temporal_downsample",
    "wavelet_decomposition",
    "vmd_decomposition",
    "LearnablePositionalEncoding",
    "ScaleEncoder",
    "MultiResolutionAttention",
    "CrossScaleFusion",
    "HierarchicalAggregation",
    "MultiScaleAttention",
    "train_multi_scale_model",
    "multi_horizon_predict",
    "BacktestResult",
    "backtest_multi_scale_strategy",
)
RUST = (
    *("Cargo.toml", "lib.rs", "api/mod.rs", "api/client.rs", "api/types.rs", "data/mod.rs", "data/loader.rs"),
    *("data/features.rs", "data/scales.rs", "model/mod.rs", "model/encoder.rs", "model/attention.rs"),
    *(
        "model/fusion.rs",
        "model/network.rs",
        "strategy/mod.rs",
        "strategy/signals.rs",
        "strategy/backtest.rs",
    ),
    *("examples/fetch_data.rs", "examples/train.rs", "examples/backtest.rs"),
)
PINS = sorted(set(re.findall(r"`(tests/[a-z_/]+\.py)::(test_\w+)`", PAGE)))
DOTTED = sorted({name for name in re.findall(r"`([a-z_]+(?:\.\w+|\[i\])+)", PAGE) if name[-3:] != ".py"})


@cache
def names_in(file):
    return {node.name for node in ast.walk(ast.parse((ROOT / file).read_text())) if hasattr(node, "name")}


@pytest.mark.parametrize(("file", "name"), PINS)
def test_a_test_that_the_page_names_exists(file, name):
    assert name in names_in(file)


def test_all_fifteen_faults_have_a_test():
    faults = re.findall(r"^\*\*(\d+)\. (.+?)(?=^\*\*\d+\.|^## )", PAGE, re.DOTALL | re.MULTILINE)
    assert [int(number) for number, _ in faults] == list(range(1, 16))
    assert all("`tests/" in text for _, text in faults)


@pytest.mark.parametrize(
    "wanted", [*TITLES, *(f"`{name}`" for name in NAMES), *(f"`{name}`" for name in RUST)]
)
def test_nothing_of_the_chapter_is_missing(wanted):
    assert wanted in PAGE


@pytest.mark.parametrize(
    "dotted", [d for d in DOTTED if d.split(".")[0] in PACKAGES | set(RunConfig.model_fields)]
)
def test_a_module_or_a_setting_that_the_page_names_exists(dotted):
    assert is_setting(dotted.replace("[i]", "")) or is_code(dotted)


def is_setting(dotted):
    model = RunConfig
    for part in dotted.split("."):
        fields = getattr(model, "model_fields", {})
        if part not in fields:
            return False
        model = inner_model(fields[part].annotation)
    return True


def inner_model(annotation):
    """The settings inside X, X | None or tuple[X, ...]; None where there are none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = [inner_model(inner) for inner in getattr(annotation, "__args__", ())]
    return next((model for model in found if model is not None), None)


def is_code(dotted):
    parts = dotted.split(".")
    path = SOURCE.joinpath(*parts)
    if path.is_dir() or path.with_suffix(".py").is_file():
        return True
    module = SOURCE.joinpath(*parts[:-1]).with_suffix(".py")
    return module.is_file() and hasattr(import_module(f"polyscale.{'.'.join(parts[:-1])}"), parts[-1])


def test_files_of_the_rust_table_exist():
    section = PAGE.split("## In place of Rust")[1].split("\n## ")[0]
    cells = [row.split("|")[2] for row in section.splitlines() if row.startswith("| `")]
    for cell in cells:
        folder = SOURCE
        for name in re.findall(r"`([\w/.]+)`", cell):
            if name.endswith(("/", ".py")):
                found = [place / name for place in (folder, SOURCE) if (place / name).exists()]
                assert found, name
                folder = found[0].parent


def test_the_table_of_hyper_parameters_is_that_of_the_figures():
    kept = json.loads((ROOT / "docs" / "figures" / "hyperparameters.json").read_text())
    for name, row in kept["figures"]["variants"].items():
        ratios = " / ".join(f"{row[horizon]:.3f}" for horizon in ("1h", "4h", "1d"))
        cells = f"| {ratios} | {row['seconds']:.0f} s, {row['parameters']:,} |"
        assert cells in PAGE, name
    assert {"command", "date", "machine", "figures"} <= set(kept)
