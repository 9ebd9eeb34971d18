"""The references are whole: every key, command, option and name of the API is there, and explains itself."""

import re
from pathlib import Path
from typing import Annotated, Any, get_args

import pytest
import typer
from pydantic import Field, model_validator
from typer.main import get_command

import polyscale
import reference
from polyscale.config.run_config import RunConfig, parse_config
from polyscale.market.errors import ConfigError
from polyscale.market.settings import Settings
from reference import chapter, commands, settings

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "reference"
SECTIONS = settings.sections()
COMMANDS = commands.commands()


def page(name):
    """A page as the site has it."""
    return reference.filled((PAGES / name).read_text(encoding="utf-8"))


def fences(name, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", page(name), re.DOTALL | re.MULTILINE)


def rows(text):
    """First cell without its marks, and the others, of each row of the tables of a text."""
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines() if line.startswith("|")]
    return {re.findall(r"`([^`]*)`", row[0])[0]: row[1:] for row in cells if "`" in row[0]}


def models_in(annotation):
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        yield annotation
        for field in annotation.model_fields.values():
            yield from models_in(field.annotation)
    for inner in get_args(annotation):
        yield from models_in(inner)


def test_every_model_of_a_config_has_a_section():
    assert {section.model for section in SECTIONS} == set(models_in(RunConfig))
    text = page("config.md")
    for section in SECTIONS[1:]:
        assert re.search(rf"^##+ `{re.escape(section.place)}`$", text, re.MULTILINE), section.place


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.place or "run")
def test_every_key_is_told_with_its_default_and_meaning(section):
    told = rows(settings.described(section))
    assert list(told) == list(section.model.model_fields)
    for name, field in section.model.model_fields.items():
        _, default, meaning = told[name]
        assert default.strip() == settings.default(field)
        assert meaning.strip() == field.description


def test_the_page_holds_every_table():
    text = page("config.md")
    for model in set(models_in(RunConfig)):
        first = next(section for section in SECTIONS if section.model is model)
        assert settings.described(first) in text


def test_a_default_is_written_as_yaml():
    default = settings.default
    assert default(RunConfig.model_fields["levels"]) == "`[0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975]`"
    assert default(RunConfig.model_fields["backtest"]) == "**required**"
    assert default(RunConfig.model_fields["portfolio"]) == "absent"
    assert default(RunConfig.model_fields["training"]) == "its defaults"
    assert settings.kind(RunConfig.model_fields["seed"]) == "integer, ≥ 0"


def test_a_key_without_a_description_is_refused():
    class Bare(Settings):
        """Keys."""

        told: int = Field(1, description="how many")
        untold: int = 2

    with pytest.raises(ValueError, match=r"Bare\.untold must have a description"):
        settings.described(settings.Section("bare", Bare))


def test_a_rule_that_tells_nothing_is_refused():
    class Ruled(Settings):
        """Keys."""

        @model_validator(mode="after")
        def _fits(self):
            return self

    with pytest.raises(ValueError, match=r"Ruled\._fits must tell its rule"):
        settings.rules(Ruled)


def test_rules_are_items_or_one_sentence():
    class Ruled(Settings):
        """Keys."""

        @model_validator(mode="after")
        def _one(self):
            """`a` is at most `b`."""
            return self

        @model_validator(mode="after")
        def _many(self):
            """What fits.

            - `c` is
              less than `d`
            - `e` rises
            """
            return self

    assert settings.rules(Ruled) == ["`a` is at most `b`", "`c` is less than `d`", "`e` rises"]


def test_the_shortest_file_is_a_config_and_nothing_in_it_can_be_left_out():
    (example,) = fences("config.md", "yaml")
    config = parse_config(example, "the page")
    required = {name for name, field in RunConfig.model_fields.items() if field.is_required()}
    assert required <= config.model_fields_set


def test_the_error_of_the_page_is_the_error_that_comes():
    (shown,) = fences("config.md", "text")
    (example,) = fences("config.md", "yaml")
    with pytest.raises(ConfigError) as caught:
        parse_config(example + "training: {learning_rte: 0.1}\n", "configs/mine.yaml")
    assert f"error: {caught.value}\n" == shown


def test_every_config_that_comes_along_is_named():
    told = rows((PAGES / "config.md").read_text(encoding="utf-8").partition("## How to write")[0])
    assert set(told) == {path.name for path in (ROOT / "configs").glob("*.yaml")}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_is_told_with_its_default_and_help(name):
    text = commands.described(name, COMMANDS[name])
    assert text in page("commands.md")
    told = rows(text)
    assert len(told) == len(COMMANDS[name].params)
    for parameter in COMMANDS[name].params:
        names = commands.names(parameter)
        assert all(f"`{each}`" in text for each in names)
        _, default, meaning = told[names[0]]
        assert default.strip() == commands.default(parameter)
        plain = re.sub(r"[`\\]", "", meaning).strip()
        assert plain.startswith(parameter.help)
        assert not parameter.envvar or f"`{parameter.envvar}`" in meaning


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_begins_with_its_command(name):
    assert all(line.startswith(f"polyscale {name} ") or line == f"polyscale {name}" for line in told_by(name))


def told_by(name):
    return commands.examples(COMMANDS[name])


def command_of(function: Any, **words: Any) -> Any:
    app = typer.Typer()
    app.command("do", **words)(function)
    return get_command(app)


def test_an_option_without_help_is_refused():
    def do(much: Annotated[int, typer.Option()] = 1) -> None:
        """Do it."""

    with pytest.raises(ValueError, match="--much of polyscale do must have a help text"):
        commands.described("do", command_of(do, epilog="Example: polyscale do"))


def test_a_command_without_example_or_docstring_is_refused():
    def do() -> None:
        """Do it."""

    def silent() -> None:
        pass

    with pytest.raises(ValueError, match="must have an example"):
        commands.described("do", command_of(do))
    with pytest.raises(ValueError, match="must have a docstring"):
        commands.described("do", command_of(silent, epilog="Example: polyscale do"))


def test_exit_statuses_are_told_of_commands_that_have_their_own():
    table = (PAGES / "commands.md").read_text(encoding="utf-8").partition("status 1 also where")[2]
    first = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = {word for cell in first for word in re.findall(r"`([a-z]+)", cell)}
    assert named == {"audit", "run", "demo", "reproduce", "fetch", "bars"}
    sources = (ROOT / "src/polyscale/cli").glob("*.py")
    assert sorted(path.stem for path in sources if "typer.Exit(1)" in path.read_text()) == [
        "audit_command",
        "fetch_command",
        "run_commands",  # run, demo and reproduce
        "upkeep_commands",  # bars --verify
    ]


def documented(text):
    """Names that autodoc is asked for, and which of their members."""
    return re.findall(r"^\.\. auto(?:function|class|exception|data):: polyscale\.(\S+)$", text, re.MULTILINE)


def test_every_name_of_the_api_is_on_its_page():
    text = page("api.md")
    assert {"audit", "__version__"} < set(polyscale.__all__)
    missing = set(polyscale.__all__) - {"audit", "__version__"} - set(documented(text))
    assert not missing
    assert "polyscale.__version__" in text
    assert {f"audit.{name}" for name in polyscale.audit.__all__} <= set(documented(text))


def test_every_name_on_the_page_exists_and_explains_itself():
    for name in documented(page("api.md")):
        module, _, last = f"polyscale.{name}".rpartition(".")
        thing = getattr(__import__(module, fromlist=[last]), last)
        assert (thing.__doc__ or "").strip(), name


def test_names_of_the_chapter_come_from_its_module(monkeypatch):
    assert all(f":: polyscale.chapter.{name}\n" in page("api.md") for name in chapter.names())
    monkeypatch.setattr(chapter, "MODULE", "polyscale.audit")
    assert ".. autofunction:: polyscale.audit.check\n" in chapter.markdown()
    assert ".. autoclass:: polyscale.audit.Plan\n   :members:\n" in chapter.markdown()
    monkeypatch.setattr(chapter, "MODULE", "polyscale.not_there")
    assert chapter.markdown() == ""


def test_every_marker_is_filled_and_every_part_is_somewhere():
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs").rglob("*.md"))
    assert set(re.findall(r"<!-- reference: (\w+) -->", text)) == set(reference.PARTS)
