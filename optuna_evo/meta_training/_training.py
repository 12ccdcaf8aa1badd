"""The outer loop of meta-training: estimates, updates, and what to do when they are not finite."""

from collections.abc import Callable
from collections.abc import Mapping
import math
from pathlib import Path
from typing import Any
from typing import Final
from typing import NamedTuple

import torch
from torch import Tensor

from optuna_evo.errors import CheckpointError
from optuna_evo.errors import MetaTrainingError
from optuna_evo.learned import build as build_controller
from optuna_evo.learned import Controller
from optuna_evo.meta_training._backprop import TruncatedBackprop
from optuna_evo.meta_training._estimators import Estimate
from optuna_evo.meta_training._estimators import Estimator
from optuna_evo.meta_training._estimators import EvolutionStrategies
from optuna_evo.meta_training._estimators import Scalars
from optuna_evo.meta_training._families._family import generator
from optuna_evo.meta_training._families._registry import build_family
from optuna_evo.meta_training._flat import flat_parameters
from optuna_evo.meta_training._flat import set_parameters
from optuna_evo.meta_training._outer import outer_step
from optuna_evo.meta_training._outer import OuterState
from optuna_evo.meta_training._selection import Selection
from optuna_evo.meta_training._spec import MetaSpec
from optuna_evo.meta_training._states import commit
from optuna_evo.meta_training._states import latest
from optuna_evo.meta_training._states import read_state
from optuna_evo.meta_training._states import write_state


__all__ = ["MetaTraining", "OuterRecord"]

_MOST_SKIPPED: Final = 3  # in a row
_DOMAINS = 4  # stream


class OuterRecord(NamedTuple):
    """What an outer step found.

    Args:
        number: Outer steps done.
        meta_loss: Mean meta-loss of the particles, on the scale of the spec.
        was_skipped: Whether the estimate was not finite, so nothing was updated.
        n_skipped: Outer steps skipped so far.
        n_diverged: Inner trainings of this outer step that diverged.
    """

    number: int
    meta_loss: float
    was_skipped: bool
    n_skipped: int
    n_diverged: int


class MetaTraining:
    """A meta-training that can be stopped and gone on with, bit for bit.

    Args:
        spec: What to do.
        device: Where inner trainings run.
        is_own: Tells whether a stack, by its number, is trained in this process; None: all are.
        start: A controller to start from, such as one trained elsewhere; None: an untrained one.
        selection: Measures the meta-parameters; None: on the tasks that the spec says.

    Example:
        >>> training = MetaTraining(spec)
        >>> for _ in range(spec.outer.steps):
        ...     record = training.step()
        >>> training.controller()
    """

    def __init__(
        self,
        spec: MetaSpec,
        *,
        device: torch.device | str = "cpu",
        is_own: Callable[[int], bool] | None = None,
        start: Controller | None = None,
        selection: Selection | None = None,
    ) -> None:
        self.spec, self._device = spec, torch.device(device)
        self.families = [
            build_family(d.name, d.options, reparametrise=d.reparametrise) for d in spec.families
        ]
        self._controller = start or build_controller(
            spec.controller.name, spec.controller_settings()
        )
        theta = flat_parameters(self._controller)
        self._outer = OuterState(theta, torch.zeros_like(theta), torch.zeros_like(theta), 0)
        self._best, self.best_score = theta, float("inf")
        self._number = self._n_skipped = self._n_in_a_row = 0
        self._estimator = _estimator(spec, self._controller, self, is_own or (lambda number: True))
        self._selection, self._is_fresh = selection, start is None
        self.base_score = float("nan")

    @property
    def device(self) -> torch.device:
        """Where inner trainings run."""
        return self._device

    @property
    def number(self) -> int:
        """Outer steps done."""
        return self._number

    @property
    def n_skipped(self) -> int:
        """Outer steps without an update, since their estimate was not finite."""
        return self._n_skipped

    @property
    def theta(self) -> Tensor:
        """Meta-parameters, (D,)."""
        return self._outer.theta

    def controller(self, *, best: bool = True) -> Controller:
        """Return the controller with the best meta-parameters measured, or with the last."""
        controller = build_controller(self._controller.kind, self._controller.settings)
        is_measured = self.best_score < float("inf")
        set_parameters(controller, self._best if best and is_measured else self.theta)
        return controller

    def evaluate(self) -> Scalars:
        """Do this process's part of the next outer step; `update` does the rest."""
        return self._estimator.evaluate(self.theta, self._number, self._domain())

    def update(self, scalars: Scalars) -> OuterRecord:
        """End the outer step, from the scalars of all stacks.

        Raises:
            MetaTrainingError: If three estimates in a row were not finite.
        """
        estimate = self._estimator.gradient(scalars)
        is_finite = _is_usable(estimate)
        if is_finite:
            self._outer = outer_step(self._outer, estimate.gradient, self._number, self.spec.outer)
        self._number += 1
        self._n_skipped += not is_finite
        self._n_in_a_row = 0 if is_finite else self._n_in_a_row + 1
        if self._n_in_a_row >= _MOST_SKIPPED:
            raise MetaTrainingError(
                f"{_MOST_SKIPPED} outer steps in a row found no finite meta-gradient, the last is "
                f"{self._number}: lower outer.lr = {self.spec.outer.lr:g}, outer.perturbation = "
                f"{self.spec.outer.perturbation:g} or the base genome's learning rate. What was "
                "trained before is kept."
            )
        return OuterRecord(
            self._number, estimate.meta_loss, not is_finite, self._n_skipped, estimate.n_diverged
        )

    def step(self) -> OuterRecord:
        """Do a whole outer step in this process."""
        return self.update(self.evaluate())

    def select(self) -> float:
        """Measure the meta-parameters on tasks of their own, and keep the best; return the score.

        The first time, the base rule is measured too (`base_score`).
        """
        if self._selection is None:
            self._selection = Selection(self.spec, self.families, self._device)
        if math.isnan(self.base_score):
            untrained = build_controller(self._controller.kind, self._controller.settings)
            self.base_score = self._selection.measure(untrained)
        if self._is_fresh and not self._number:  # it is its base, bit for bit
            score = self.base_score
        else:
            score = self._selection.measure(self.controller(best=False))
        if score < self.best_score:
            self._best, self.best_score = self.theta, score
        return score

    def write_stacks(self, folder: Path) -> None:
        """Write the stacks of this process into the state of this outer step."""
        for number, (tensors, plain) in self._estimator.stack_states().items():
            write_state(self._state_folder(folder) / f"stack-{number}.safetensors", tensors, plain)

    def write_shared(self, folder: Path) -> None:
        """Write what all processes know, and make the state the one to go on from.

        All stacks must be written.
        """
        tensors, plain = self._estimator.shared_state()
        theta, m, v, n_updates = self._outer
        own = {"theta": theta, "m": m, "v": v, "best": self._best}
        known = {
            "spec": self.spec.fingerprint(),
            "number": self._number,
            "n_updates": n_updates,
            "n_skipped": self._n_skipped,
            "n_in_a_row": self._n_in_a_row,
            # JSON has no infinity
            "best_score": self.best_score if self.best_score < float("inf") else None,
            "estimator": plain,
        }
        state = self._state_folder(folder)
        tensors = {f"estimator.{name}": t for name, t in tensors.items()} | own
        write_state(state / "shared.safetensors", tensors, known)
        commit(folder, state.name)

    def resume(self, folder: Path) -> bool:
        """Go on from the state of a folder; return whether there is one.

        Raises:
            CheckpointError: If it is damaged, or of another spec.
        """
        state = latest(folder)
        if state is None:
            return False
        tensors, known = read_state(state / "shared.safetensors")
        if known["spec"] != self.spec.fingerprint():
            raise CheckpointError(
                f"The state in {folder} is of another spec: remove the folder to begin anew, or "
                "write to another place."
            )
        self._load(tensors, known, state)
        return True

    def _load(self, tensors: Mapping[str, Tensor], known: Mapping[str, Any], state: Path) -> None:
        self._outer = OuterState(tensors["theta"], tensors["m"], tensors["v"], known["n_updates"])
        self._best = tensors["best"]
        best = known["best_score"]
        self.best_score = float("inf") if best is None else best
        self._number, self._n_skipped = known["number"], known["n_skipped"]
        self._n_in_a_row = known["n_in_a_row"]
        prefix = "estimator."
        shared = {n[len(prefix) :]: t for n, t in tensors.items() if n.startswith(prefix)}

        def stack_state(number: int) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
            path = state / f"stack-{number}.safetensors"
            return read_state(path) if path.exists() else None

        self._estimator.load((shared, known["estimator"]), stack_state)

    def _state_folder(self, folder: Path) -> Path:
        return folder / f"state-{self._number:07d}"

    def _domain(self) -> int:
        """Return the domain of the next outer step, drawn by the weights."""
        weights = torch.tensor([d.weight for d in self.spec.families], dtype=torch.float64)
        random = generator(self.spec.seed, _DOMAINS, self._number)
        return int(torch.multinomial(weights, 1, generator=random))


def _is_usable(estimate: Estimate) -> bool:
    return bool(estimate.gradient.isfinite().all()) and estimate.n_diverged < estimate.n_members


def _estimator(
    spec: MetaSpec, controller: Controller, training: MetaTraining, is_own: Callable[[int], bool]
) -> Estimator:
    n_meta, device = len(training.theta), training.device
    if spec.outer.estimator == "truncated_backprop":
        return TruncatedBackprop(spec, controller, training.families, device=device)
    return EvolutionStrategies(
        spec, controller, training.families, n_meta=n_meta, device=device, is_own=is_own
    )
