r"""The museum of leaks: fifteen ways in which the future gets into a row, each caught, each with its repair.

for exhibit in polyscale.audit.museum.MUSEUM:
    print(exhibit.name, exhibit.run(), sep="\n")
"""

from polyscale.audit.museum.exhibit import Exhibit
from polyscale.audit.museum.joins import JOINS
from polyscale.audit.museum.splits import SPLITS
from polyscale.audit.museum.whole_series import WHOLE_SERIES
from polyscale.audit.museum.windows import WINDOWS

MUSEUM: tuple[Exhibit, ...] = (*JOINS, *WINDOWS, *WHOLE_SERIES, *SPLITS)

__all__ = ["MUSEUM", "Exhibit"]
