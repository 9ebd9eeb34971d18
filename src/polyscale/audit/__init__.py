"""Whether any row knows its future: of a stage, of a fit, of a split, of labels."""

from polyscale.audit.check import check
from polyscale.audit.outcome import Audit, Finding, Reach, Scope
from polyscale.audit.plan import Plan

__all__ = ["Audit", "Finding", "Plan", "Reach", "Scope", "check"]
