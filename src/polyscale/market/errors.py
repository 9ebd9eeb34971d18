"""What can go wrong, as types.

    PolyscaleError
      ConfigError       a setting breaks its rule
      DataError         a file or a frame breaks the contract of bars or funding
      StoreError        the store cannot be read or written
        NotStoredError  the store does not hold what was asked for
      HistoryError      too few bars: says how many are needed and how many were found
      RunError          a run folder is damaged, newer than this version, or does not fit
      TrainingError     training cannot go on

Every message names the thing, the rule, the value received and the remedy.
"""


class PolyscaleError(Exception):
    """Any error that is the product's own; the command prints it without a traceback."""


class ConfigError(PolyscaleError):
    """A setting breaks its rule."""


class DataError(PolyscaleError):
    """A file or a frame breaks the contract of bars or funding."""


class StoreError(PolyscaleError):
    """The store cannot be read or written."""


class NotStoredError(StoreError):
    """The store does not hold what was asked for."""


class HistoryError(PolyscaleError):
    """Too few bars for what was asked."""


class RunError(PolyscaleError):
    """A run folder is damaged, newer than this version, or does not fit."""


class TrainingError(PolyscaleError):
    """Training cannot go on."""
