"""Optimizers of torch built from their names, behind one face however many there are."""

from collections.abc import Mapping
import importlib
import inspect
import math
from typing import Any

import torch
from torch import nn

from optuna_evo.config import NamedOptimizer
from optuna_evo.config import ParamGroup
from optuna_evo.errors import UsageError


__all__ = ["build_named", "check_named", "default_lr", "TorchOptimizers"]

# They do not fit a loop that calls `step()` after one dense backward pass: LBFGS evaluates the
# loss itself, SparseAdam takes sparse gradients.
_UNFIT = {"LBFGS", "Optimizer", "SparseAdam"}
_PACKAGE = "pytorch_optimizer."  # the one other package whose classes may be named
# They estimate the curvature from gradients that can be differentiated again.
_NEED_GRAPHS = {"SophiaH"}
# Options that may change from segment to segment without any effect on what the state holds;
# of the others at most the size may change (see `_check_state`).
_FREE_OPTIONS = {"lr", "initial_lr", "maximize", "params", "weight_decay"}


def check_named(config: NamedOptimizer) -> None:
    """Check that the optimizers are there and that they take their arguments.

    Raises:
        UsageError: If not (a ValueError).

    Example:
        >>> check_named(NamedOptimizer.of("AdamW", lr=1e-3))
    """
    for group in config.groups:
        parameters = inspect.signature(_class_of(group)).parameters.values()
        takes = [p.name for p in parameters if p.kind is not p.VAR_KEYWORD][1:]
        if unknown := sorted(set(group.options) - set(takes)):
            raise UsageError(
                f"{_shown(group)} does not take {unknown[0]!r}; it takes: {', '.join(takes)}."
            )


def build_named(
    config: NamedOptimizer, model: nn.Module, *, total_steps: int | None
) -> "TorchOptimizers":
    """Build the optimizers of a model's parameters.

    Args:
        config: Which optimizers, with which arguments, for which parameters.
        model: Its parameters' names and shapes decide on their groups.
        total_steps: Length of the run that the cosine refers to; None: the configuration's
            horizon.

    Raises:
        UsageError: If torch has no such optimizer, it does not take an argument or a parameter, a
            group matches no parameter, or a parameter is in no group or in two.

    Example:
        >>> model = torch.nn.Linear(4, 1)
        >>> optimizer = build_named(NamedOptimizer.of("NAdam", lr=1e-3), model, total_steps=None)
        >>> model(torch.ones(2, 4)).sum().backward()
        >>> optimizer.step()
    """
    check_named(config)
    optimizers = []
    for group, params in zip(config.groups, _route(config, model), strict=True):
        try:
            optimizers.append(_class_of(group)(params, **group.options))
        except (TypeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise UsageError(
                f"{_shown(group)} cannot train what it is given ({reason}): give "
                "other options, or route parameters to several optimizers by groups with `dims` "
                "and patterns."
            ) from error
    return TorchOptimizers(optimizers, config, total_steps)


def default_lr(group: ParamGroup) -> float:
    """Return the learning rate of a group: its own, or its class's default."""
    if "lr" in group.options:
        return float(group.options["lr"])
    return float(inspect.signature(_class_of(group)).parameters["lr"].default)


class TorchOptimizers:
    """Optimizers over disjoint parameters as one, with the schedule of their configuration.

    It has of `torch.optim.Optimizer` what a training loop and a gradient scaler call.

    Args:
        optimizers: One for each group of the configuration.
        config: What they were built from.
        total_steps: As in `build_named`.

    Raises:
        UsageError: If there is a cosine and nothing says over how many steps.
    """

    def __init__(
        self,
        optimizers: list[torch.optim.Optimizer],
        config: NamedOptimizer,
        total_steps: int | None,
    ) -> None:
        self._optimizers = optimizers
        self._config = config
        self._total_steps = config.horizon if total_steps is None else total_steps
        if config.cosine and self._total_steps is None:
            raise UsageError(
                "The learning rate decays along a cosine: say over how many steps by "
                "`NamedOptimizer(..., horizon=...)`."
            )
        self._n_done = 0
        for group in self.param_groups:
            group["initial_lr"] = group["lr"]

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The parameter groups of all of them."""
        return [group for each in self._optimizers for group in each.param_groups]

    @property
    def needs_graph(self) -> bool:
        """Whether the step to come differentiates its gradients."""
        return any(
            each.param_groups[0].get("step", 0) % each.update_period == 0  # type: ignore[attr-defined]
            for each in self._optimizers
            if type(each).__name__ in _NEED_GRAPHS
        )

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for optimizer in self._optimizers:
            optimizer.zero_grad()

    def train(self) -> None:
        """Put the weights that are trained into the model, as it has them at first."""
        self._switch("train")

    def eval(self) -> None:
        """Put the weights that are to be used into the model: Schedule-Free's average."""
        self._switch("eval")

    def _switch(self, to: str) -> None:
        for optimizer in self._optimizers:
            if switch := getattr(optimizer, to, None):
                switch()

    def step(self) -> None:
        """Do one optimizer step."""
        scale = self._lr_scale()
        for group in self.param_groups:
            group["lr"] = group["initial_lr"] * scale
        for optimizer in self._optimizers:
            optimizer.step()
        self._n_done += 1

    def scale_lr(self, factor: float) -> None:
        """Multiply the learning rates from now on."""
        for group in self.param_groups:
            group["initial_lr"] *= factor

    def state_dict(self) -> dict[str, Any]:
        """Return the state of all of them."""
        return {
            "torch": self._config.to_dict(),
            "schedule_step": self._n_done,
            "parts": [optimizer.state_dict() for optimizer in self._optimizers],
        }

    def inherit_state(self, state: Mapping[str, Any]) -> None:
        """Go on from the averages and step counts of others with these ones' own arguments.

        Args:
            state: The `state_dict` of the same classes over parameters of the same shapes.

        Raises:
            ValueError: If it is of other optimizers, or holds other averages than these read.
        """
        if "torch" not in state:
            raise ValueError("The state was not saved by an optimizer of torch.")
        saved = [group["optimizer"] for group in state["torch"]["groups"]]
        own = [group.optimizer for group in self._config.groups]
        if saved != own:
            raise ValueError(f"The state is of {saved}, not of {own}.")
        for optimizer, part in zip(self._optimizers, state["parts"], strict=True):
            mine = optimizer.state_dict()["param_groups"]
            _check_state(mine, part["param_groups"])
            optimizer.load_state_dict({**part, "param_groups": mine})
        self._n_done = int(state["schedule_step"])

    def _lr_scale(self) -> float:
        """Return the factor of the step to come: a genome's schedule, linear and then cosine."""
        scale, step = 1.0, self._n_done
        if self._config.warmup_steps:
            scale = min(1.0, (step + 1) / self._config.warmup_steps)
        if self._config.cosine:
            assert self._total_steps is not None
            scale *= 0.5 * (1.0 + math.cos(math.pi * min(1.0, step / self._total_steps)))
        return scale


def _shown(group: ParamGroup) -> str:
    return group.optimizer if "." in group.optimizer else f"torch.optim.{group.optimizer}"


def _class_of(group: ParamGroup) -> Any:
    name = group.optimizer.removeprefix(_PACKAGE)
    module: Any = torch.optim
    if name != group.optimizer:
        try:
            module = importlib.import_module(_PACKAGE[:-1])
        except ImportError as error:
            raise UsageError(
                f"{group.optimizer} needs the package pytorch-optimizer: "
                "pip install 'optuna-evo[judge]'."
            ) from error
    names = [
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, torch.optim.Optimizer)
    ]
    allowed = sorted(set(names) - _UNFIT)
    if name not in allowed:
        raise UsageError(
            f"There is no optimizer {group.optimizer!r} to train with; {module.__name__} has: "
            f"{', '.join(allowed)}."
        )
    return getattr(module, name)


def _route(config: NamedOptimizer, model: nn.Module) -> list[list[tuple[str, nn.Parameter]]]:
    """Return the named parameters of each group."""
    routed: list[list[tuple[str, nn.Parameter]]] = [[] for _ in config.groups]
    taken: dict[int, tuple[int, str]] = {}
    # a tied parameter has two names, and could be in two groups
    for name, parameter in model.named_parameters(remove_duplicate=False):
        shape = tuple(parameter.shape)
        places = [i for i, g in enumerate(config.groups) if g.matches(name, parameter.ndim)]
        if not places:
            raise UsageError(
                f"The parameter {name!r} of shape {shape} is in no group: add a last group "
                "without pattern and dims, which takes what is left."
            )
        before = taken.setdefault(id(parameter), (places[0], name))
        if before[0] != places[0]:
            raise UsageError(
                f"The parameter {name!r} is in two groups, numbers {before[0] + 1} and "
                f"{places[0] + 1}: it is the same as {before[1]!r}; write a pattern that matches "
                "both names."
            )
        if before[1] == name:
            routed[places[0]].append((name, parameter))
    for group, params in zip(config.groups, routed, strict=True):
        if not params:
            names = [name for name, _ in model.named_parameters()]
            raise UsageError(
                f"The group with pattern {group.pattern!r} and dims {list(group.dims)} matches no "
                f"parameter that an earlier group has left; the names are: {', '.join(names)}."
            )
    return routed


def _check_state(own: list[dict[str, Any]], saved: list[dict[str, Any]]) -> None:
    """Raise if an option was switched on or off that decides what the state holds."""
    for mine, theirs in zip(own, saved, strict=True):
        for key in mine.keys() & theirs.keys() - _FREE_OPTIONS:
            if bool(mine[key]) != bool(theirs[key]):
                raise ValueError(
                    f"The state was saved with {key}={theirs[key]!r}, which keeps other averages "
                    f"than {key}={mine[key]!r}."
                )
