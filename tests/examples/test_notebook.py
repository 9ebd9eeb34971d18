"""The notebook runs from top to bottom, and stands in the repository with the pictures that it makes."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parents[2] / "examples" / "chapter.ipynb"
PICTURES = 6


def pictures(notebook):
    """Cells that show a picture."""
    shown = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    return [out for out in shown if "image/png" in out.get("data", {})]


def said(notebook):
    """All that was printed."""
    printed = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    return "".join(out.text for out in printed if out.output_type == "stream" and out.name == "stdout")


def test_the_notebook_runs_and_makes_its_pictures(tmp_path):
    notebook = nbformat.read(NOTEBOOK, 4)
    kept = said(notebook)
    assert len(pictures(notebook)) == PICTURES
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    run = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    run.execute()
    assert len(pictures(notebook)) == PICTURES
    assert said(notebook).splitlines()[:4] == kept.splitlines()[:4]  # what does not depend on the last digits
    assert "0.1 % a fill" in said(notebook)
