"""Whether any row knows its future: of a stage, of a fit, of a split, of two timeframes."""

from polyscale.audit.check import check
from polyscale.audit.frozen_fit import check_frozen_fit
from polyscale.audit.labels import check_labels
from polyscale.audit.online_fit import check_online_fit
from polyscale.audit.outcome import Audit, Finding, Reach, Scope
from polyscale.audit.plan import Plan
from polyscale.audit.purge import check_purge

__all__ = [
    "Audit",
    "Finding",
    "Plan",
    "Reach",
    "Scope",
    "check",
    "check_frozen_fit",
    "check_labels",
    "check_online_fit",
    "check_purge",
]
