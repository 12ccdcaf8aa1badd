"""A controller as texts that a database holds: what a trial of a study has trained travels in it.

A checkpoint beside the database would be lost to other machines; a controller has some kilobytes.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any
from typing import Final

from optuna_evo.errors import UsageError
from optuna_evo.learned._controller import Controller
from optuna_evo.learned._store import controller_of
from optuna_evo.learned._store import weights_of


__all__ = ["packed", "unpacked"]

_LONGEST: Final = 40_000  # characters of a text: MySQL keeps 65,535 bytes of one


def packed(controller: Controller) -> list[Any]:
    """Return a head, and the weights in texts of at most 40,000 characters: plain JSON types.

    Example:
        >>> head, *texts = packed(MLPController(hidden_size=4))
        >>> head["kind"]
        'mlp'
    """
    text = base64.b64encode(weights_of(controller)).decode()
    texts = [text[i : i + _LONGEST] for i in range(0, len(text), _LONGEST)]
    head = {"kind": controller.kind, "settings": controller.settings, "n_texts": len(texts)}
    return [head, *texts]


def unpacked(head: Mapping[str, Any], texts: list[str], *, where: str) -> Controller:
    """Return the controller that `packed` made these of.

    Args:
        head: The first of them.
        texts: The others.
        where: Where they were, for what is said if they are damaged.

    Raises:
        UsageError: If they are damaged (a ValueError).
    """
    try:
        content = base64.b64decode("".join(texts), validate=True)
        kind, settings = head["kind"], dict(head["settings"])
    except (binascii.Error, TypeError, ValueError, KeyError) as error:
        raise UsageError(f"The controller in {where} is damaged: train it anew.") from error
    return controller_of(kind, settings, content, where=where)
