"""Sphinx's settings: the Markdown of this folder as pages, with references made from the code."""

import sys
from pathlib import Path

from polyscale.report import palette

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "polyscale"
author = "The polyscale authors"
project_copyright = "the polyscale authors, MIT licence"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "reference.extension"]
exclude_patterns = ["images", "_ext"]

myst_heading_anchors = 3
myst_enable_extensions = ["attrs_block"]

default_role = "code"  # a name in one backtick, in docstrings
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
napoleon_google_docstring = False
napoleon_use_rtype = False
python_maximum_signature_line_length = 80
toc_object_entries_show_parents = "hide"
python_use_unqualified_type_names = True

html_title = "polyscale"
html_theme = "furo"
pygments_style = "github-light"
pygments_dark_style = "github-dark"
html_favicon = "_static/logo.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_domain_indices = False


def _colours(of: dict[str, str], ground: str) -> dict[str, str]:
    """The report's palette in the theme's words; ``ground`` is what lies around its sections."""
    return {
        "color-brand-primary": of[palette.NETWORK],
        "color-brand-content": of[palette.NETWORK],
        "color-brand-visited": of[palette.NETWORK],
        "color-foreground-primary": of[palette.INK],
        "color-foreground-secondary": of[palette.MUTED],
        "color-background-primary": of[palette.SURFACE],
        "color-background-secondary": ground,
        "color-api-name": of[palette.NETWORK],
        "color-api-pre-name": of[palette.MUTED],
        "color-background-border": of[palette.GRID],
        "font-stack": palette.FONT,
    }


html_theme_options = {
    "light_logo": "logo.svg",
    "dark_logo": "logo.svg",
    "light_css_variables": _colours({colour: colour for colour in palette.DARK}, "#f6f7f9"),
    "dark_css_variables": _colours(dict(palette.DARK), "#101317"),
}
