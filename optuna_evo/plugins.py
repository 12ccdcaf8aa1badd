"""Parts of the user's own, named "module:attribute" in a spec."""

import importlib
import operator
from typing import Any

from optuna_evo.errors import PluginError


__all__ = ["load_attribute"]


def load_attribute(path: str) -> Any:
    """Import what "module:attribute" names.

    Args:
        path: Dotted name of a module, a colon, and a name in it, which may be dotted too, such as
            a class method's. The module must be importable; the command line puts the working
            folder on the import path.

    Raises:
        PluginError: If the module cannot be imported or has no such attribute.

    Example:
        >>> load_attribute("math:pi")
        3.141592653589793
    """
    module_name, _, attribute = path.partition(":")
    if not module_name or not attribute:
        raise PluginError(f'A part of your own is named "module:attribute", got {path!r}.')
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise PluginError(
            f"Cannot import module {module_name!r} of {path!r} ({error}): "
            "is it in the working folder or installed?"
        ) from error
    # attrgetter follows dots, so that a class method can be named: "module:Class.method"
    try:
        return operator.attrgetter(attribute)(module)
    except AttributeError as error:
        raise PluginError(
            f"Module {module_name!r} has no attribute {attribute!r}: name one that it defines."
        ) from error
