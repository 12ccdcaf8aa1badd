"""Online adaptation: a rule that goes on learning while it trains, from the losses it is told.

Three things adapt: the learning rate by its hypergradient; the learning rate by trial, a random
change for some steps that stays where the loss fell faster; and the run itself, which begins anew
when the loss says that the task is another one.

Shape legend: P members.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from optuna_evo.errors import UsageError
from optuna_evo.learned._controller import Controller
from optuna_evo.learned._mlp import MLPController
from optuna_evo.learned._rule import ControllerRule
from optuna_evo.optimizers import HypergradientRule
from optuna_evo.optimizers import scale_steps
from optuna_evo.rules import Coefficients
from optuna_evo.rules import DirectedCoefficients
from optuna_evo.rules import FROZEN
from optuna_evo.rules import Genome
from optuna_evo.rules import Layout
from optuna_evo.rules import Needs
from optuna_evo.rules import NUMBERS
from optuna_evo.rules import Observation
from optuna_evo.rules import UpdateRule


__all__ = ["OnlineRule"]

# A loss belongs to another task if twice in a row it lies above the average by more than this, in
# standard deviations and in the logarithm: minibatches of one task reach 4 by chance at times,
# twice in a row they do not, and a loss that is twice as high is worth a new beginning.
_DEVIATIONS = 4.0
_LEAST_RISE = 0.7
_IN_A_ROW = 2
_KEPT = 0.9  # of the averages of losses, a feedback
_FIRST = 10  # feedbacks before anything is concluded
_WINDOW = 10  # feedbacks of a trial
# The numbers of a step that moves no weight and sets all averages to 0: gradients are clipped so.
_FORGET = tuple(
    {"clip": 0.0, "m_share": 1.0, "v_decay": 0.0, "v_share": 1.0, "eps": 1.0}.get(name, still)
    for name, still in zip(NUMBERS, FROZEN, strict=True)
)


class OnlineRule:
    """A genome, a controller or another rule that adapts during the run.

    Tell it the training loss before each step by `feedback`; without, only the hypergradient
    works. A rule object belongs to one run.

    Args:
        rule: What to adapt. Its coefficients must be able to begin anew, as those of controllers
            can; a genome becomes an untrained controller of the same steps.
        rate: Of the hypergradient, see `HypergradientRule`; 0: none.
        exploration: Standard deviation of the random changes of log learning rates; 0: none.
        seed: Of these.

    Raises:
        UsageError: If `rate` or `exploration` is negative.

    Example:
        >>> from optuna_evo import catalog, EvolvedOptimizer, OnlineRule
        >>> model = torch.nn.Linear(4, 1)
        >>> rule = OnlineRule(catalog["adam"])
        >>> optimizer = EvolvedOptimizer(model.parameters(), rule, total_steps=100)
        >>> for _ in range(3):
        ...     optimizer.zero_grad()
        ...     loss = model(torch.ones(2, 4)).square().sum()
        ...     loss.backward()
        ...     rule.feedback(loss)
        ...     optimizer.step()
    """

    observes = True

    def __init__(
        self,
        rule: Genome | Controller | UpdateRule,
        *,
        rate: float = 0.02,
        exploration: float = 0.0,
        seed: int = 0,
    ) -> None:
        if not exploration >= 0:
            raise UsageError(f"`exploration` must be >= 0, got {exploration}.")
        if isinstance(rule, Genome):
            rule = MLPController(genome=rule, uses_total_steps=rule.rule.needs_length)
        inner = ControllerRule(rule) if isinstance(rule, Controller) else rule
        self._inner = HypergradientRule(inner, rate=rate)
        self.exploration, self.seed = exploration, seed
        self._told: Tensor | None = None
        self._n_told = 0

    @property
    def needs(self) -> Needs:
        """The averages that the wrapped rule reads."""
        return self._inner.needs

    @property
    def told(self) -> tuple[int, Tensor | None]:
        """How many feedbacks there were, and the last."""
        return self._n_told, self._told

    def feedback(self, loss: Tensor | float) -> None:
        """Say the training loss of the step that is done next.

        Args:
            loss: A number, or (P,) for the members of a stack.
        """
        self._told = torch.as_tensor(loss).detach().reshape(-1).double()
        self._n_told += 1

    def fingerprint(self) -> str:
        """Return the settings and the fingerprint of the wrapped rule."""
        return f"online-{self.exploration:g}-{self.seed}-{self._inner.fingerprint()}"

    def start(
        self, layout: Layout, n_members: int, total_steps: int | None, device: torch.device
    ) -> Coefficients:
        """Return the coefficients of a run.

        Raises:
            UsageError: If the wrapped rule's coefficients cannot begin anew.
        """
        inner = self._inner.start(layout, n_members, total_steps, device)
        return _Online(self, inner, torch.zeros(n_members, dtype=torch.float64, device=device))


class _Online:
    """The coefficients of an `OnlineRule`; `zeros` says their shape (P,)."""

    def __init__(self, rule: OnlineRule, inner: Coefficients, zeros: Tensor) -> None:
        self._rule, self._inner = rule, inner
        self._n_read = 0  # the number, as the rule counts, of the last feedback read
        self._n_feedbacks = 0  # in this run
        self._own = {
            name: zeros.clone()
            for name in ("count", "mean", "square", "in_a_row", "change", "kept", "start", "speed")
        }
        self._restarted = zeros > 0

    def directions(self, step: int, seen: Observation) -> Sequence[Tensor]:
        """Read the feedback, then return the directions of the wrapped rule."""
        number, loss = self._rule.told
        self._restarted = torch.zeros_like(self._restarted)
        if loss is not None and number > self._n_read:
            self._n_read = number
            self._n_feedbacks += 1
            log_loss = loss.to(self._restarted.device).clamp_min(1e-12).log()
            self._read(log_loss.nan_to_num(1e3))
        assert isinstance(self._inner, DirectedCoefficients)
        return self._inner.directions(step, seen)

    def numbers(self, step: int, seen: Observation | None) -> Tensor:
        """Return the wrapped rule's numbers, scaled by what is tried and what was found."""
        numbers = self._inner.numbers(step, seen)
        if self._rule.exploration:
            scale = (self._own["kept"] + self._own["change"]).exp()
            numbers = scale_steps(numbers, scale.unsqueeze(1).expand(-1, numbers.shape[1]))
        if self._restarted.any():
            members = self._restarted.nonzero().flatten().tolist()
            self._inner.restart(members, step)  # type: ignore[attr-defined]
            numbers = numbers.clone()
            numbers[members] = numbers.new_tensor(_FORGET)
        return numbers

    def _read(self, log_loss: Tensor) -> None:
        own = self._own
        n = own["count"]
        spread = (own["square"] - own["mean"].square()).clamp_min(0).sqrt()
        rise = log_loss - own["mean"]
        is_high = (n >= _FIRST) & (rise > (_DEVIATIONS * spread).clamp_min(_LEAST_RISE))
        own["in_a_row"] = torch.where(is_high, own["in_a_row"] + 1, 0.0)
        self._restarted = own["in_a_row"] >= _IN_A_ROW
        # the first feedbacks are averaged evenly; a suspicious one is not averaged in
        share = torch.where(is_high, 0.0, (1 / (n + 1)).clamp_min(1 - _KEPT))
        own["mean"] = own["mean"].lerp(log_loss, share)
        own["square"] = own["square"].lerp(log_loss.square(), share)
        own["count"] = n + 1
        if self._rule.exploration:
            self._explore()
        for name, tensor in own.items():
            own[name] = torch.where(self._restarted, 0.0, tensor)

    def _explore(self) -> None:
        """At the end of a trial keep its change if the loss fell faster; begin the next."""
        own = self._own
        if self._n_feedbacks % _WINDOW:
            return
        speed = own["start"] - own["mean"]
        is_measured = own["count"] > 2 * _WINDOW
        keep = is_measured & (speed > own["speed"])
        own["kept"] = torch.where(keep, own["kept"] + own["change"], own["kept"])
        own["speed"] = torch.where(is_measured, own["speed"].lerp(speed, 0.5), speed)
        own["start"] = own["mean"].clone()
        trial = self._n_feedbacks // _WINDOW
        random = torch.Generator().manual_seed(self._rule.seed * 1_000_003 + trial)
        drawn = torch.randn(len(speed), generator=random, dtype=torch.float64).to(speed)
        own["change"] = self._rule.exploration * drawn

    def select(self, index: Tensor) -> None:
        """Go on with these members."""
        self._inner.select(index)
        self._own = {name: tensor[index] for name, tensor in self._own.items()}
        self._restarted = self._restarted[index]

    def state_dict(self) -> dict[str, Any]:
        """Return what was learned of the losses, and the state of the wrapped rule."""
        own = {name: tensor.clone() for name, tensor in self._own.items()}
        return {"own": own, "n_feedbacks": self._n_feedbacks, "inner": self._inner.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self._own = {n: state["own"][n].to(t).clone() for n, t in self._own.items()}
        self._n_feedbacks = state["n_feedbacks"]
        self._inner.load_state_dict(state["inner"])
