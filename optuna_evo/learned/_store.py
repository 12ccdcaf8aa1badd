"""A controller as a folder: `controller.json` and `weights.safetensors`; nothing in it can run.

The kind is a name in a table, settings are checked arguments, weights are numbers.
"""

from collections.abc import Iterator
from collections.abc import Mapping
import json
import os
from pathlib import Path
from typing import Any
from typing import Final

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from optuna_evo.errors import UsageError
from optuna_evo.files import open_whole
from optuna_evo.learned._controller import Controller
from optuna_evo.learned._kinds import build


__all__ = [
    "controller_of",
    "controllers",
    "load_controller",
    "provenance_of",
    "resolve",
    "save_controller",
    "weights_of",
]

FORMAT: Final = 1
HEAD: Final = "controller.json"
WEIGHTS: Final = "weights.safetensors"
SHIPPED: Final = Path(__file__).with_name("shipped")
_LARGEST_HEAD = 1 << 20
_LARGEST_WEIGHTS = 1 << 28


def save_controller(
    controller: Controller,
    folder: str | os.PathLike[str],
    *,
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """Write a controller as a folder, whole or not at all.

    Args:
        controller: What to write.
        folder: Where to; made if need be. What stands there is replaced.
        provenance: How it came about, plain JSON types: command, seed, commit, date, figures.

    Returns:
        The folder.

    Raises:
        UsageError: If weights are not finite, or the kind cannot be loaded again (a ValueError).

    Example:
        >>> save_controller(controller, "mine", provenance={"seed": 0})
    """
    build(controller.kind, controller.settings)
    weights = weights_of(controller)
    head = {
        "format": FORMAT,
        "kind": controller.kind,
        "settings": controller.settings,
        "provenance": dict(provenance or {}),
    }
    text = json.dumps(head, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    # weights first: a head alone would name what is not there
    for name, content in ((WEIGHTS, weights), (HEAD, text.encode())):
        with open_whole(place / name) as file:
            file.write(content)
    return place


def load_controller(folder: str | os.PathLike[str]) -> Controller:
    """Return the controller that `save_controller` wrote.

    Raises:
        UsageError: If the folder holds none, or not a whole one of this version (a ValueError).
    """
    place = Path(folder)
    head = _head(place)
    content = _read(place / WEIGHTS, _LARGEST_WEIGHTS)
    return controller_of(head["kind"], head["settings"], content, where=repr(str(place)))


def controller_of(
    kind: object, settings: Mapping[str, Any], content: bytes, *, where: str
) -> Controller:
    """Return the controller of a kind with the weights of a safetensors file.

    Args:
        kind: Its kind.
        settings: Of its class.
        content: The file.
        where: Where that was, for what is said if it is wrong.

    Raises:
        UsageError: If the weights are damaged, or do not fit (a ValueError).
    """
    controller = build(kind, settings)
    try:
        weights = load_tensors(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise UsageError(
            f"The weights of the controller in {where} are damaged: copy or train it anew."
        ) from error
    expected = {name: tuple(t.shape) for name, t in controller.state_dict().items()}
    found = {name: tuple(t.shape) for name, t in weights.items()}
    if found != expected:
        wrong = sorted(n for n in {*found, *expected} if found.get(n) != expected.get(n))
        raise UsageError(
            f"The weights in {where} do not fit a controller {controller.kind!r} of its "
            f"settings, at {wrong[0]!r}: {found.get(wrong[0])} in place of "
            f"{expected.get(wrong[0])}."
        )
    _check_finite(weights, where)
    controller.load_state_dict(weights)
    return controller


def weights_of(controller: Controller) -> bytes:
    """Return a controller's weights as a safetensors file.

    Raises:
        UsageError: If they are not finite (a ValueError).
    """
    weights = {n: t.detach().cpu().contiguous() for n, t in controller.state_dict().items()}
    _check_finite(weights, "this controller")
    return save_tensors(weights)


def provenance_of(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Return how a stored controller came about.

    Raises:
        UsageError: As `load_controller`.
    """
    return dict(_head(Path(folder))["provenance"])


class _Controllers(Mapping[str, Controller]):
    """Meta-trained controllers that come with the package, by their names.

    Each look-up returns a fresh `optuna_evo.learned.Controller`; `sorted(controllers)` lists the
    names, and `LearnedOptimizer(params, NAME)` takes one.
    """

    def __getitem__(self, name: str) -> Controller:
        if not isinstance(name, str) or name not in self._names():
            raise KeyError(name)
        return load_controller(SHIPPED / name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def __contains__(self, name: object) -> bool:
        return name in self._names()

    def __repr__(self) -> str:
        return f"controllers({', '.join(self._names())})"

    def folder(self, name: str) -> Path:
        """Return where a controller of the package lies."""
        if name not in self._names():
            raise KeyError(name)
        return SHIPPED / name

    @staticmethod
    def _names() -> list[str]:
        return sorted(head.parent.name for head in SHIPPED.glob(f"*/{HEAD}"))


controllers: Final = _Controllers()
"""The meta-trained controllers of the package by their names, as `catalog` holds genomes."""


def resolve(controller: Controller | str | os.PathLike[str]) -> Controller:
    """Return a controller given as such, by its name in `controllers` or by its folder.

    Raises:
        UsageError: If there is none (a ValueError).
    """
    if isinstance(controller, Controller):
        return controller
    if not isinstance(controller, (str, os.PathLike)):
        raise UsageError(
            f"A controller must be a Controller, a name or a folder, got {controller!r:.60}."
        )
    if controller in controllers:
        return controllers[str(controller)]
    if not Path(controller).is_dir():
        raise UsageError(
            f"There is no controller {str(controller)!r}: it must be one of "
            f"{', '.join(controllers) or '(none)'}, or a folder with {HEAD!r} and {WEIGHTS!r}."
        )
    return load_controller(controller)


def _head(place: Path) -> dict[str, Any]:
    content = _read(place / HEAD, _LARGEST_HEAD)
    try:
        head = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{str(place / HEAD)!r} is damaged, it is no JSON: copy or train the controller anew."
        ) from error
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        found = head.get("format") if isinstance(head, dict) else None
        raise UsageError(
            f"The controller in {str(place)!r} has format {str(found)[:20]}, this version reads "
            f"{FORMAT}: install the version that wrote it, or train it anew."
        )
    tables = [head.get("settings"), head.get("provenance", {})]
    if not all(isinstance(table, dict) for table in tables) or "kind" not in head:
        raise UsageError(
            f"{str(place / HEAD)!r} must hold a `kind` and tables of `settings` and `provenance`."
        )
    return {"provenance": {}, **head}


def _read(path: Path, largest: int) -> bytes:
    try:
        if path.stat().st_size > largest:
            raise UsageError(f"{str(path)!r} is too large for a controller, over {largest} bytes.")
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UsageError(
            f"The controller in {str(path.parent)!r} is not whole: {path.name!r} cannot be read "
            f"({reason})."
        ) from error


def _check_finite(weights: Mapping[str, Tensor], where: str) -> None:
    bad = [n for n, t in weights.items() if t.is_floating_point() and not _is_finite(t)]
    if bad:
        raise UsageError(f"Weights of {where} are not finite, at {bad[0]!r}: train it anew.")


def _is_finite(tensor: Tensor) -> bool:
    return bool(tensor.isfinite().all())
