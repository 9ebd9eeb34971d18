"""``python -m polyscale``."""

from polyscale.cli.main import main

main()
