"""Errors that a user can fix: each message says what is wrong, what is allowed, how to fix it.

    OptunaEvoError
    ├── UsageError        the command line or a call is wrong       (exit code 2)
    │   └── SpecError     a study spec is wrong
    ├── StudyMismatchError  the stored study was made from another spec
    ├── StorageError      the database cannot be opened or has a newer schema
    ├── DataError         a data set is missing and cannot be downloaded
    ├── CheckpointError   a checkpoint is missing, damaged or of another training
    ├── MetaTrainingError meta-training found no finite gradient several times in a row
    ├── MemoryLimitError  a training does not fit into the device's memory
    ├── ObjectiveError    the user's own objective raised, or returned something else than a number
    └── PluginError       the user's own part "module:attribute" cannot be loaded

The command line prints the message as one line; `--debug` shows the traceback. A `SourceWarning`
is not an error: a study continues without a source that it cannot read. Nor is a `TableWarning`,
which says how a table was read.
"""

__all__ = [
    "CheckpointError",
    "DataError",
    "MemoryLimitError",
    "MetaTrainingError",
    "ObjectiveError",
    "OptunaEvoError",
    "PluginError",
    "SourceWarning",
    "SpecError",
    "StorageError",
    "StudyMismatchError",
    "TableWarning",
    "UsageError",
]


class OptunaEvoError(Exception):
    """Base of all errors that a user can fix."""

    exit_code = 1


class UsageError(OptunaEvoError, ValueError):
    """The command line or a call is wrong."""

    exit_code = 2


class SpecError(UsageError):
    """A study spec is wrong: unknown key, bad type, value out of range."""


class StudyMismatchError(OptunaEvoError):
    """The stored study was made from another spec than the one given."""


class StorageError(OptunaEvoError):
    """The database cannot be opened or written, or has a newer schema."""


class DataError(OptunaEvoError):
    """A data set is not in the data folder and cannot be downloaded."""


class CheckpointError(OptunaEvoError):
    """A checkpoint is missing, damaged or of another training."""


class MemoryLimitError(OptunaEvoError):
    """A training does not fit into the device's memory."""


class MetaTrainingError(OptunaEvoError):
    """Meta-training found no finite gradient several times in a row."""


class ObjectiveError(OptunaEvoError):
    """An own objective raised an error, or returned what is no number."""


class PluginError(UsageError):
    """The user's own part, named "module:attribute", cannot be loaded."""


class SourceWarning(UserWarning):
    """A source of a warm start cannot be read; it is left out."""


class TableWarning(UserWarning):
    """How a table was read: what counts as missing, what is left out, which classes are rare."""
