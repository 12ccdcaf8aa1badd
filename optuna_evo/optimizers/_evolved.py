"""An update rule as an ordinary `torch.optim.Optimizer`."""

from collections.abc import Callable
from collections.abc import Sequence
import contextlib
from typing import Any
from typing import overload

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from optuna_evo.optimizers._buckets import Bucket
from optuna_evo.optimizers._buckets import buckets_of
from optuna_evo.optimizers._buckets import count_on_device
from optuna_evo.optimizers._buckets import start_states
from optuna_evo.optimizers._dispatch import is_fused
from optuna_evo.optimizers._dispatch import update_tensors
from optuna_evo.optimizers._fused import check_fit
from optuna_evo.optimizers._genome_step import check_genome
from optuna_evo.optimizers._genome_step import directions_of
from optuna_evo.optimizers._genome_step import numbers_of
from optuna_evo.optimizers._genome_step import terms_of
from optuna_evo.optimizers._groups import check_group
from optuna_evo.optimizers._groups import group_settings
from optuna_evo.optimizers._groups import plain
from optuna_evo.optimizers._groups import restore_group
from optuna_evo.optimizers._keeps import Keeps
from optuna_evo.optimizers._loading import check_averages
from optuna_evo.optimizers._loading import check_owner
from optuna_evo.optimizers._loading import checked_loading
from optuna_evo.optimizers._started import Plan
from optuna_evo.optimizers._started import StartedRule
from optuna_evo.optimizers._tail import average_tail
from optuna_evo.optimizers._tail import swapped
from optuna_evo.optimizers._tail import without_tail
from optuna_evo.rules import FROZEN
from optuna_evo.rules import Genome
from optuna_evo.rules import UpdateRule


__all__ = ["EvolvedOptimizer"]


class EvolvedOptimizer(torch.optim.Optimizer):
    """Train with the update rule of a genome, or any other one.

    The update is that of `Genome`, in its canonical form: terms that are the same
    function are folded, so equal fingerprints train equally. State that the rule does not read is
    not allocated: no `exp_avg` without momentum terms, no `exp_avg_sq` without normalised ones.

    The genome's own warm-up and cosine multiply the learning rate of each group, so a scheduler of
    `torch.optim.lr_scheduler` on top composes with them. `lr`, `weight_decay`, `betas` (or `beta1`
    and `beta2`), `eps` and `maximize` can be set for each group. `OneCycleLR` and `CyclicLR` cycle
    `betas[0]`, which changes nothing if the rule reads no m.

    Matrix terms (ORTHOGONAL, SOAP) move hidden matrices: parameters of two dimensions or more, but
    not the last one, the head, and none that torch was given the name of an embedding or head for.
    Say otherwise by a group's `role`: "matrix", "elementwise", or a list with one for each
    parameter, as `optuna_evo.optimizers.roles_of(model)` returns it.

    A group that is added later has a warm-up of its own and the steps that are left, so a cosine
    ends with those of the other groups. To join their schedule instead, give it their number of
    steps: `"schedule_step": optimizer.param_groups[0]["schedule_step"]`.

    Another rule, such as one whose coefficients depend on what it observes, is started for each
    group with the group's tensors. The `lr` of a group multiplies the rule's own and is 1 where it
    is not given; decays are the rule's own: none is set or cycled for a group.

    All parameters are checked before any is stepped: a step that raises is no step. Where
    `torch.compile` compiles a function, a step in it runs as it is, outside of the graphs.

    Args:
        params:
            Parameters or parameter groups.
        genome:
            The update rule and its hyperparameters, or an `optuna_evo.rules.UpdateRule`.
        total_steps:
            Length of the run in optimizer steps: the end of the cosine, and what warm-up is scaled
            to if the genome knows the horizon it was evolved for. None: the genome's horizon.
        maximize:
            Ascend instead of descend.
        foreach:
            True: torch's multi-tensor operations. False: the plain loop, the readable twin.
            None: `fused` decides.
        fused:
            True: one compiled pass over all tensors, the same kernel for every rule. On a CPU a
            C++ compiler builds it in a few seconds, once per machine; on a GPU Triton does. None:
            if there is one and `foreach` is not set. False: multi-tensor operations.
        capturable:
            Count steps on the device, so that the step can be captured in a CUDA graph after a
            few steps outside of it. A learning rate that changes must be a tensor on the device.
            For genomes only.

    Raises:
        ValueError: If the genome decays along a cosine and neither `total_steps` nor its horizon
            says over how many steps, if `total_steps` is not positive, if `fused` or `capturable`
            is asked for together with another way, or if a parameter group says what would not be
            done.

    Example:
        >>> from optuna_evo import catalog, EvolvedOptimizer
        >>> model = torch.nn.Linear(4, 1)
        >>> optimizer = EvolvedOptimizer(model.parameters(), catalog["adamw"])
        >>> model(torch.ones(2, 4)).sum().backward()
        >>> optimizer.step()
    """

    def __init__(
        self,
        params: ParamsT,
        genome: Genome | UpdateRule,
        *,
        total_steps: int | None = None,
        maximize: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        capturable: bool = False,
    ) -> None:
        excluded = foreach is not None or fused is False if capturable else fused and foreach
        if excluded:
            raise ValueError(
                "`fused` and `capturable` run the compiled kernel, the other ways exclude it: "
                f"leave them out, got {foreach=}, {fused=}, {capturable=}."
            )
        if total_steps is not None and total_steps < 1:
            raise ValueError(
                f"`total_steps` must be a positive number of steps, got {total_steps}."
            )
        defaults: dict[str, Any] = {"maximize": maximize, "schedule_step": 0}
        if isinstance(genome, Genome):
            total_steps = genome.horizon if total_steps is None else total_steps
            check_genome(genome.rule, total_steps, capturable=capturable)
            defaults |= group_settings(genome.rule) | {"genome": plain(genome.to_dict())}
            defaults |= {"role": None} if genome.rule.has_matrix else {}
        elif capturable:
            raise ValueError("`capturable` is for genomes: the steps of a rule are counted here.")
        else:
            defaults |= {"lr": 1.0, "rule": genome.fingerprint()}
        self._foreach = foreach
        self._fused = True if capturable else fused if foreach is None else bool(fused)
        self._capturable = capturable
        self.genome = genome
        self._rule = genome.rule if isinstance(genome, Genome) else None
        self._keeps = Keeps(genome.rule if isinstance(genome, Genome) else genome)
        self._started: dict[int, StartedRule] = {}  # by the number of the group
        super().__init__(params, defaults | {"total_steps": total_steps})

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Do one optimizer step.

        Args:
            closure: Re-evaluates the model and returns the loss; called once, with gradients on.

        Returns:
            What the closure returned, if there is one.

        Raises:
            RuntimeError: If a parameter cannot be stepped; then none is.
        """
        if torch.compiler.is_compiling():
            from optuna_evo.optimizers._compiled import step_outside

            return step_outside(self, closure)  # type: ignore[no-any-return]
        return self._step(closure)

    @torch.no_grad()
    def _step(self, closure: Callable[[], float] | None) -> float | None:
        """Check everything, update, and count what was updated."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        buckets = self._checked_buckets()
        plans = [
            self._start(i).plan(group, self.state) if self._rule is None and buckets[i] else None
            for i, group in enumerate(self.param_groups)
        ]
        for group, of_group, plan in zip(self.param_groups, buckets, plans, strict=True):
            for bucket in of_group:
                self._update(group, bucket, plan)
                bucket.count(on_device=self._capturable)
                if self._rule is not None and self._rule.tail:
                    average_tail(self._rule, group, bucket)
            if not self._capturable:
                group["schedule_step"] = int(group["schedule_step"])
            group["schedule_step"] += 1
        return loss

    def averaged(self) -> contextlib.AbstractContextManager[None]:
        """Hold the averages of `tail_average`, once they began, in the place of weights meanwhile.

        Example:
            >>> from optuna_evo import catalog
            >>> model = torch.nn.Linear(4, 1)
            >>> optimizer = EvolvedOptimizer(model.parameters(), catalog["adamw"])
            >>> with optimizer.averaged():
            ...     outputs = model(torch.ones(2, 4))
        """
        return swapped(self.state if self._rule is not None and self._rule.tail else {})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, as torch's optimizers do; see the class for when its schedule starts."""
        if isinstance(param_group, dict):  # if not, torch says so
            total_steps = self.defaults["total_steps"]
            own = param_group.get("total_steps") is not None or "schedule_step" in param_group
            if total_steps is not None and not own:
                done = max((int(g["schedule_step"]) for g in self.param_groups), default=0)
                param_group["total_steps"] = max(1, total_steps - done)
            ways = {n: getattr(self, f"_{n}") for n in ("foreach", "fused", "capturable")}
            check_group(param_group, self.defaults, ways)
        super().add_param_group(param_group)

    def state_dict(self) -> dict[str, Any]:
        """Return the state as torch's optimizers do; that of a rule's coefficients is in it."""
        if self._rule is not None:
            return super().state_dict()
        # before the hooks of others, which may change it
        handle = self.register_state_dict_post_hook(_add_coefficients, prepend=True)
        try:
            return super().state_dict()
        finally:
            handle.remove()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state saved by `state_dict`; training goes on bit for bit.

        Raises:
            ValueError: If the state was saved by another optimizer, or one of another rule.
        """
        self._load(state_dict, lambda state: check_owner(state, self.genome))

    def inherit_state(self, state_dict: dict[str, Any]) -> None:
        """Go on from the averages and step counts of another genome with this one's own numbers.

        Its learning rate, decays and weight decay stay this optimizer's; warm-up and cosine go on
        from the step that the other one had reached.

        Args:
            state_dict: The state of an `EvolvedOptimizer` over parameters of the same shapes.

        Raises:
            ValueError: If this genome needs an average that the other one did not keep.
        """
        pairs = zip(self.state_dict()["param_groups"], state_dict["param_groups"], strict=True)
        groups = [own | {"schedule_step": other["schedule_step"]} for own, other in pairs]
        state = state_dict["state"]
        if self._rule is None or not self._rule.tail:
            state = without_tail(state)
        self._load(
            {**state_dict, "state": state, "param_groups": groups},
            lambda state: check_averages(state, self._keeps.names(self.param_groups), self.genome),
        )

    def load_coefficients(self, states: Sequence[dict[str, Any]]) -> None:
        """Go on from the "coefficients" of a rule's `state_dict`, one for each group."""
        for i, state in enumerate(states):
            self._start(i).load_state_dict(state)

    def __getstate__(self) -> dict[str, Any]:
        # torch's own keeps only what every optimizer has: a copy would not know its rule
        own = ("genome", "_rule", "_keeps", "_started", "_foreach", "_fused", "_capturable")
        return super().__getstate__() | {name: getattr(self, name) for name in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "beta1" in self.defaults:  # a pickle from before groups had `betas`
            self.defaults["betas"] = (self.defaults.pop("beta1"), self.defaults.pop("beta2"))
        for group in self.param_groups:  # of a state that knows fewer settings, or their old names
            restore_group(group, self.defaults)

    def _load(self, state_dict: dict[str, Any], check: Callable[[dict[str, Any]], None]) -> None:
        """Load what the hooks of others make of a state, and check that."""

        def then(final: dict[str, Any]) -> None:
            if self._rule is None:
                # the averages of a genome may be gone on from; coefficients then begin
                self.load_coefficients(final.get("coefficients", ()))

        with checked_loading(self, check, then):
            super().load_state_dict(state_dict)

    def _checked_buckets(self) -> list[list[Bucket]]:
        """Return what steps together, by group, with all that can be wrong looked at before."""
        fresh: dict[Tensor, dict[str, Any]] = {}
        hidden = self._keeps.hidden(self.param_groups)
        by_group = [
            buckets_of(
                group["params"], self.state, fresh, by_step=not self._capturable, hidden=hidden
            )
            for group in self.param_groups
        ]
        buckets = [bucket for of_group in by_group for bucket in of_group]
        for bucket in buckets:
            known = FROZEN if self._rule is None else terms_of(self._rule, hidden=bucket.hidden)
            bucket.fused = is_fused(bucket.params, bucket.grads, known, self._fused)
        if fresh:
            start_states(fresh, lambda p: self._keeps.of(p, hidden=id(p) in hidden))
            self.state.update(fresh)
        for bucket in buckets:
            bucket.gather(self._keeps.averages(hidden=bucket.hidden))
        if self._capturable:
            for group, of_group in zip(self.param_groups, by_group, strict=True):
                count_on_device(group, of_group)
        return by_group

    def _start(self, number: int) -> StartedRule:
        """Return the rule as it runs for a group, started with the group's tensors."""
        if number not in self._started:
            assert not isinstance(self.genome, Genome)
            self._started[number] = StartedRule(self.genome, self.param_groups[number])
        return self._started[number]

    def _update(self, group: dict[str, Any], bucket: Bucket, plan: Plan | None) -> None:
        """Step parameters of one bucket in the way that was asked for."""
        params, grads, fused, directions = bucket.params, bucket.grads, bucket.fused, None
        numbers: Tensor | tuple[float, ...]
        if plan is None:
            assert self._rule is not None
            numbers = numbers_of(self._rule, group, bucket, on_device=self._capturable)
        else:
            numbers, directions = plan.numbers(params), plan.directions(params)
            if directions is not None:
                check_fit(params, [], {}, directions)
            fused = fused and is_fused(params, grads, numbers, self._fused)
        if group["maximize"]:
            plain = type(grads[0]) is Tensor
            grads = list(torch._foreach_neg(grads)) if plain else [-g for g in grads]
        if self._rule is not None and self._rule.is_dense:
            directions = directions_of(self._rule, group, bucket, grads)
        update_tensors(
            *(params, grads, bucket.averages, numbers, directions),
            foreach=self._foreach,
            fused=fused,
            capturable=self._capturable,
            checked=True,
        )


def _add_coefficients(optimizer: torch.optim.Optimizer, state_dict: dict[str, Any]) -> None:
    assert isinstance(optimizer, EvolvedOptimizer)
    groups = range(len(optimizer.param_groups))
    state_dict["coefficients"] = [optimizer._start(i).state_dict() for i in groups]
