"""Sphinx's settings: the Markdown of this folder as pages, with references made from the code."""

import sys
from pathlib import Path

from polyscale.report import palette

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "polyscale"
author = "The polyscale authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "reference"]
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
python_use_unqualified_type_names = True

html_title = "polyscale"
html_theme = "furo"
html_favicon = "_static/logo.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False


def _colours(of: dict[str, str]) -> dict[str, str]:
    """The report's palette in the theme's words."""
    return {
        "color-brand-primary": of[palette.NETWORK],
        "color-brand-content": of[palette.NETWORK],
        "color-brand-visited": of[palette.NETWORK],
        "color-foreground-primary": of[palette.INK],
        "color-foreground-secondary": of[palette.MUTED],
        "color-background-primary": of[palette.SURFACE],
        "color-background-border": of[palette.GRID],
        "font-stack": palette.FONT,
    }


html_theme_options = {
    "light_logo": "logo.svg",
    "dark_logo": "logo.svg",
    "light_css_variables": _colours({colour: colour for colour in palette.DARK}),
    "dark_css_variables": _colours(dict(palette.DARK)),
}
