"""Which modules a stored study may import: none but those that the user allows.

Whoever can write to a database can write a spec into it. So a name that comes from a database is
a `StoredName`: a text as any other, but `load_attribute` refuses it, whoever calls, unless it
carries the permission. There is no switch that a caller could forget.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
import shlex
from types import ModuleType
from typing import Any
from typing import Self

from optuna_evo.errors import PluginError
from optuna_evo.names import printable


__all__ = ["Allowance", "check_found", "check_stored", "is_file", "StoredName"]

_SUFFIX = ".py"
_LONGEST = 200  # of a name in a message


@dataclass(frozen=True)
class Allowance:
    """What may be imported for a stored study.

    Args:
        modules: Modules, with all that lies in them: "own" allows "own" and "own.parts"; or files,
            "own.py".
        names: Whole names, "module:attribute", that the user gave before for the same study.

    Example:
        >>> Allowance(modules=("own",)).allows("own.parts:sampler")
        True
        >>> Allowance(names=("own:task",)).allows("own:other")
        False
    """

    modules: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, modules: Iterable[str], names: Iterable[str] = ()) -> Self:
        """Make one from what a user says.

        Raises:
            PluginError: If something is no module's name.
        """
        modules = (modules,) if isinstance(modules, str) else tuple(modules)
        for module in modules:
            parts = module.removesuffix(_SUFFIX) if is_file(module) else module
            if not parts or (not is_file(module) and not is_dotted(module)):
                raise PluginError(
                    f'A module to allow is named "package" or "FILE.py", got {module!r:.200}.'
                )
        return cls(tuple(dict.fromkeys(modules)), tuple(dict.fromkeys(names)))

    def __or__(self, other: "Allowance") -> "Allowance":
        modules = dict.fromkeys((*self.modules, *other.modules))
        return Allowance(tuple(modules), tuple(dict.fromkeys((*self.names, *other.names))))

    def allows(self, name: str) -> bool:
        """Tell whether "module:attribute" may be imported."""
        return name in self.names or self.has_module(name.rpartition(":")[0])

    def has_module(self, module: str) -> bool:
        """Tell whether a module, or a file, is one of those that may be imported."""
        return any(_covers(allowed, module) for allowed in self.modules)


class StoredName(str):
    """A name that was read from a database, with what the user allows.

    It stays what it is in copies and tables; as JSON it is a text.
    """

    allowance: Allowance = Allowance()

    @classmethod
    def read(cls, name: str, allowance: Allowance) -> str:
        """Return a name from a database; a plain text where the user himself gave it before."""
        if ":" not in name or name in allowance.names:
            return str(name)
        stored = cls(name)
        stored.allowance = allowance
        return stored


def check_stored(path: str) -> None:
    """Raise if a name comes from a database and its module is not allowed.

    Raises:
        PluginError: With the option that allows it.
    """
    if isinstance(path, StoredName) and not path.allowance.allows(path):
        module = printable(path.rpartition(":")[0])
        short = module if len(module) <= _LONGEST else f"{module[:_LONGEST]}…"
        raise PluginError(
            f"The stored study names {printable(path)[:_LONGEST]!r}, code that runs on this "
            f"machine: if you trust it, add --allow-import {shlex.quote(short)} or list it as "
            "allow_import in optuna_evo.toml (in Python: allow_import=[...])."
        )


def check_found(path: str, owners: Iterable[Any]) -> None:
    """Raise if what a stored name leads to belongs to another module than an allowed one.

    Otherwise "own:os.system" would come with "own", if that imports os.

    Args:
        path: The name.
        owners: What the attribute leads through, itself last; without the module.

    Raises:
        PluginError: With the module that it belongs to.
    """
    if not isinstance(path, StoredName) or path in path.allowance.names:
        return
    module = path.rpartition(":")[0]
    # what a file is imported as, see `_import_file`
    own = {Path(module).stem, f"_own_{Path(module).stem}"} if is_file(module) else set()
    for found in owners:
        if isinstance(found, ModuleType):
            owner = found.__name__
        elif isinstance(getattr(found, "__qualname__", None), str):  # a function or class
            owner = str(getattr(found, "__module__", None))
        else:  # an object, which an allowed module has made
            continue
        is_own = owner in own and not isinstance(found, ModuleType)
        if not is_own and not path.allowance.has_module(owner):
            raise PluginError(
                f"The stored study names {printable(path)[:_LONGEST]!r}, which belongs to the "
                f"module {printable(owner)!r}: allow that too, by --allow-import, if you trust it."
            )


def is_file(name: str) -> bool:
    """Tell whether a module is named by its file."""
    return name.endswith(_SUFFIX)


def is_dotted(module: str) -> bool:
    """Tell whether a text is the dotted name of a module."""
    return all(part.isidentifier() for part in module.split("."))


def _covers(allowed: str, module: str) -> bool:
    if is_file(allowed) != is_file(module):
        return False
    if not is_file(allowed):
        return module == allowed or module.startswith(f"{allowed}.")
    try:
        return Path(allowed).expanduser().resolve() == Path(module).expanduser().resolve()
    except (OSError, ValueError, RuntimeError):  # too long, a zero byte, no such home
        return False
