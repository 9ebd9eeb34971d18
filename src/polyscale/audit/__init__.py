"""Whether any row knows its future."""

from polyscale.audit.check import Finding, check

__all__ = ["Finding", "check"]
