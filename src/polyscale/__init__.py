"""polyscale: one attention network over several time scales of a market."""

__version__ = "0.1.0"
