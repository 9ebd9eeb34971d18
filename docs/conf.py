"""Sphinx's settings: the Markdown files of this folder as pages."""

project = "polyscale"
author = "The polyscale authors"
extensions = ["myst_parser"]
html_theme = "furo"
html_title = "polyscale"
myst_heading_anchors = 3
exclude_patterns = ["images"]
