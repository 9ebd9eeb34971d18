"""A user's table file, as it lies on disk: the first step of every import.

In: a path to CSV (`.csv`, `.csv.gz`, `.txt`) or Parquet (`.parquet`), and what its columns are called.
Out: the wanted columns under the contract's names, rows in the file's order, CSV cells still text and
Parquet cells still what they were. `file_times` and `file_numbers` give them meaning, `bar_file` and
`funding_file` hold them to a contract. Nothing is sorted, dropped or filled here.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from polyscale.market.errors import ConfigError, DataError

_CSV, _CSV_GZ, _PARQUET = (".csv", ".txt"), ".csv.gz", ".parquet"
_SEPARATORS = (",", ";", "\t")
_BOM = "\ufeff"


def read_table(path: Path) -> pl.DataFrame:
    """Read every row of the file; the cells of a CSV stay text, an empty cell is null.

    Raises
    ------
    DataError
        If the file is not there, is empty, holds a header only, has an unknown extension, cannot be read,
        or names two columns alike. The message does not name the file: see `naming`.
    """
    if not path.is_file():
        raise DataError(f"must be a file, {'it is a folder' if path.is_dir() else 'none is there'}; check it")
    name = path.name.lower()
    if not name.endswith((*_CSV, _CSV_GZ, _PARQUET)):
        raise DataError(
            f"the extension must be one of {[*_CSV, _CSV_GZ, _PARQUET]}, got {path.suffix!r}; "
            f"save the table as CSV or Parquet"
        )
    if path.stat().st_size == 0:
        raise DataError("must hold rows, got an empty file of 0 bytes; export it again")
    frame = _read_parquet(path) if name.endswith(_PARQUET) else _read_csv(path)
    if frame.is_empty():
        raise DataError(f"must hold rows, got only the columns {frame.columns}; export it again")
    return frame


def pick_columns(
    frame: pl.DataFrame, wanted: Mapping[str, Sequence[str]], columns: Mapping[str, str] | None
) -> dict[str, str]:
    """Say which column of the file holds each wanted one; a wanted column that is not there has no entry.

    Parameters
    ----------
    wanted
        The contract's name, and the names under which files are known to hold it, case ignored.
    columns
        What the user says: contract's name to file's name. It goes before any recognised name.

    Raises
    ------
    ConfigError
        If ``columns`` has a key that is no contract's name.
    DataError
        If the user names a column that is not in the file, or if several columns fit.
    """
    columns = columns or {}
    unknown = [name for name in columns if name not in wanted]
    if unknown:
        raise ConfigError(f"columns must map names out of {list(wanted)} to the file's own, got {unknown}")
    absent = [f"{name}={named!r}" for name, named in columns.items() if named not in frame.columns]
    if absent:
        raise DataError(
            f"the columns named by the caller must be in the file, missing {absent}, found {frame.columns}; "
            f"correct the names"
        )
    found = {name: _recognised(frame, name, known) for name, known in wanted.items() if name not in columns}
    return {**{name: own for name, own in found.items() if own is not None}, **columns}


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Put the file's name before every `DataError` that is raised inside."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _recognised(frame: pl.DataFrame, name: str, known: Sequence[str]) -> str | None:
    hits = [own for own in frame.columns if own.strip().lower() in known]
    if len(hits) > 1:
        raise DataError(
            f"one column must hold {name}, got {hits}; say which by columns={{{name!r}: {hits[0]!r}}}"
        )
    return hits[0] if hits else None


def _read_parquet(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path, hive_partitioning=False, glob=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise DataError(f"must be readable Parquet, got {_first_line(error)}; export it again") from error


def _read_csv(path: Path) -> pl.DataFrame:
    raw = path.read_bytes()
    if path.name.lower().endswith(".gz"):
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"must be readable gzip, got {_first_line(error)}; compress it again") from error
    raw = raw.rstrip()  # an empty last line is no row; an empty line between rows is an error
    if not raw:
        raise DataError("must hold rows, got only white space; export it again")
    names, separator = _header(raw)
    try:
        frame = pl.read_csv(raw, infer_schema=False, separator=separator)
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"must be readable CSV in UTF-8, got {_first_line(error)}; export it again"
        ) from error
    return frame.rename(dict(zip(frame.columns, names, strict=True)))


def _header(raw: bytes) -> tuple[list[str], str]:
    """Names of the columns and the separator: the one that cuts the first line into most names."""
    text = raw.split(b"\n", 1)[0].decode("utf-8", errors="replace").removeprefix(_BOM).strip("\r")
    separator = max(_SEPARATORS, key=text.count)
    names = [name.strip() for name in next(csv.reader(io.StringIO(text), delimiter=separator), [])]
    if any(name[:1].isdigit() for name in names):
        raise DataError(f"the first line must name the columns, got {names}; write a header line above it")
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise DataError(f"columns must have different names, got {doubled} more than once; rename them")
    return names, separator


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
