"""A run folder that came by mail is safe to open: nothing in the product reads or writes pickles."""

import ast
from pathlib import Path

import polyscale

SOURCE = Path(polyscale.__file__).parent
MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "shelve", "marshal"}
CALLS = {"torch.load", "torch.save", "joblib.load", "joblib.dump", "np.save", "pandas.read_pickle"}


def found_in(path):
    """What a file imports or calls of these, and arrays that may hold objects."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.split(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom):
            yield from [node.module] * ((node.module or "").split(".")[0] in MODULES)
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            yield from [name] * (name in CALLS or name.endswith((".to_pickle", ".read_pickle")))
            yield from (f"{name}(allow_pickle)" for word in node.keywords if word.arg == "allow_pickle")


def test_no_module_of_the_product_reads_or_writes_pickles():
    files = sorted(SOURCE.rglob("*.py"))
    assert len(files) > 100
    assert {str(path): list(found_in(path)) for path in files if list(found_in(path))} == {}


def test_the_search_sees_what_it_looks_for(tmp_path):
    (tmp_path / "x.py").write_text(
        "import pickle\nfrom dill import loads\ntorch.load(p)\nf.to_pickle(p)\n"
        "np.load(p, allow_pickle=True)\n"
    )
    assert list(found_in(tmp_path / "x.py")) == [
        "pickle",
        "dill",
        "torch.load",
        "f.to_pickle",
        "np.load(allow_pickle)",
    ]
