"""Errors that a user can mend: what is wrong, what is allowed, how to mend it.

    OptunaEvoError
    ├── UsageError        the command line or a call is wrong       (exit code 2)
    │   └── SpecError     a study spec is wrong
    ├── StudyMismatchError  the stored study was made from another spec
    ├── StorageError      the database cannot be opened or is of a newer schema
    ├── DataError         a data set is not there and cannot be had
    ├── CheckpointError   a checkpoint is missing, damaged or of another training
    ├── MemoryLimitError  a training does not fit into the device's memory
    └── PluginError       an own part named "module:attribute" cannot be loaded

The command line prints the message as one line; `--debug` shows the traceback. A `SourceWarning`
is no error: a study goes on without a source that it cannot read. Nor is a `TableWarning`, which
says how a table was read.
"""

__all__ = [
    "CheckpointError",
    "DataError",
    "MemoryLimitError",
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
    """Base of all errors that a user can mend."""

    exit_code = 1


class UsageError(OptunaEvoError, ValueError):
    """The command line or a call is wrong."""

    exit_code = 2


class SpecError(UsageError):
    """A study spec is wrong: unknown key, bad type, value out of range."""


class StudyMismatchError(OptunaEvoError):
    """The stored study was made from another spec than the one given."""


class StorageError(OptunaEvoError):
    """The database cannot be opened, written, or is of a newer schema."""


class DataError(OptunaEvoError):
    """A data set is neither in the data folder nor to be downloaded."""


class CheckpointError(OptunaEvoError):
    """A checkpoint is missing, damaged or of another training."""


class MemoryLimitError(OptunaEvoError):
    """A training does not fit into the device's memory."""


class PluginError(UsageError):
    """An own part named "module:attribute" cannot be loaded."""


class SourceWarning(UserWarning):
    """A study that was to be a source of a warm start cannot be read; it is left out."""


class TableWarning(UserWarning):
    """How a table was read: what counts as missing, what is left out, which classes are rare."""
