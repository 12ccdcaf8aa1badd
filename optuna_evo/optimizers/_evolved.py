"""An update rule as an ordinary `torch.optim.Optimizer`."""

from collections.abc import Callable
from collections.abc import Iterator
from typing import Any
from typing import overload

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from optuna_evo.optimizers._dispatch import update_tensors
from optuna_evo.optimizers._reference import average_dtype
from optuna_evo.optimizers._started import Plan
from optuna_evo.optimizers._started import StartedRule
from optuna_evo.rules import AVERAGES
from optuna_evo.rules import Genome
from optuna_evo.rules import step_numbers
from optuna_evo.rules import UpdateRule


__all__ = ["EvolvedOptimizer"]

_STATES = {symbol: average.state for symbol, average in AVERAGES.items()}


class EvolvedOptimizer(torch.optim.Optimizer):
    """Train with the update rule of a genome, or any other one.

    The update is that of `Genome`, in its canonical form: terms that are the same
    function are folded, so equal fingerprints train equally. State that the rule does not read is
    not allocated: no `exp_avg` without momentum terms, no `exp_avg_sq` without normalised ones.

    The genome's own warm-up and cosine multiply the learning rate of each group, so a scheduler of
    `torch.optim.lr_scheduler` on top composes with them. `lr`, `weight_decay`, `beta1`, `beta2`,
    `eps` and `maximize` can be set for each parameter group.

    Another rule, such as one whose coefficients depend on what it observes, is started for each
    group with the group's tensors. The `lr` of a group multiplies the rule's own and is 1 where it
    is not given.

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
            says over how many steps, if `total_steps` is not positive, or if `fused` or
            `capturable` is asked for together with another way.

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
        if (fused or capturable) and (foreach is not None or fused is False):
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
            if genome.rule.cosine and total_steps is None:
                raise ValueError(
                    "This genome decays along a cosine: say over how many steps by "
                    "`EvolvedOptimizer(params, genome, total_steps=...)`."
                )
            defaults |= genome.rule.settings() | {"genome": genome.to_dict()}
        elif capturable:
            raise ValueError("`capturable` is for genomes: the steps of a rule are counted here.")
        else:
            defaults |= {"lr": 1.0, "rule": genome.fingerprint()}
        self._foreach = foreach
        self._fused = True if capturable else fused if foreach is None else False
        self._capturable = capturable
        self.genome = genome
        self._rule = genome.rule if isinstance(genome, Genome) else None
        self._needs = genome.rule.needs if isinstance(genome, Genome) else genome.needs
        self._started: dict[int, StartedRule] = {}  # by the number of the group
        super().__init__(params, defaults | {"total_steps": total_steps})

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Do one optimizer step.

        Args:
            closure: Re-evaluates the model and returns the loss; called once, with gradients on.

        Returns:
            What the closure returned, if there is one.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for i, group in enumerate(self.param_groups):
            buckets, plan = list(self._buckets(group)), None
            if self._rule is None and buckets:
                plan = self._start(i).plan(group, self.state)
            for params in buckets:
                self._update(group, params, plan)
            group["schedule_step"] += 1
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Return the state as torch's optimizers do; that of a rule's coefficients is in it."""
        state = super().state_dict()
        if self._rule is None:
            coefficients = [self._start(i).state_dict() for i in range(len(self.param_groups))]
            state["coefficients"] = coefficients
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state saved by `state_dict`; training goes on bit for bit.

        Raises:
            ValueError: If the state was saved by another optimizer, or one of another rule.
        """
        if self._rule is None:
            self._load_rule(state_dict)
            return
        for group in state_dict["param_groups"]:
            if "genome" not in group:
                raise ValueError(
                    "The state was not saved by an EvolvedOptimizer: its parameter groups hold no "
                    f"`genome`, only {sorted(group)}."
                )
            saved = Genome.from_dict(group["genome"]).fingerprint()
            if saved != self.genome.fingerprint():
                raise ValueError(
                    f"The state belongs to genome {saved}, this optimizer runs "
                    f"{self.genome.fingerprint()}: build it with `Genome.from_dict(state_dict"
                    '["param_groups"][0]["genome"])` first.'
                )
        self._load(state_dict)

    def _load_rule(self, state_dict: dict[str, Any]) -> None:
        saved = {group.get("rule") for group in state_dict["param_groups"]}
        if saved != {self.genome.fingerprint()} or "coefficients" not in state_dict:
            raise ValueError(
                f"The state does not belong to rule {self.genome.fingerprint()}, which this "
                f"optimizer runs, but to {', '.join(map(str, saved))}."
            )
        self._load(state_dict)
        for i, state in enumerate(state_dict["coefficients"]):
            self._start(i).load_state_dict(state)

    def inherit_state(self, state_dict: dict[str, Any]) -> None:
        """Go on from the averages and step counts of another genome with this one's own numbers.

        Its learning rate, decays and weight decay stay this optimizer's; warm-up and cosine go on
        from the step that the other one had reached.

        Args:
            state_dict: The state of an `EvolvedOptimizer` over parameters of the same shapes.

        Raises:
            ValueError: If this genome needs an average that the other one did not keep.
        """
        needs = [_STATES[symbol] for symbol in sorted(self._needs)]
        for state in state_dict["state"].values():
            if lacking := [name for name in needs if name not in state]:
                raise ValueError(
                    f"The state holds no `{lacking[0]}`, which genome "
                    f"{self.genome.fingerprint()} reads: its rule has other averages."
                )
        pairs = zip(self.state_dict()["param_groups"], state_dict["param_groups"], strict=True)
        groups = [own | {"schedule_step": other["schedule_step"]} for own, other in pairs]
        self._load({**state_dict, "param_groups": groups})

    def __getstate__(self) -> dict[str, Any]:
        # torch's own keeps only what every optimizer has: a copy would not know its rule
        own = ("genome", "_rule", "_needs", "_started", "_foreach", "_fused", "_capturable")
        return super().__getstate__() | {name: getattr(self, name) for name in own}

    def _load(self, state_dict: dict[str, Any]) -> None:
        """Load a state with the averages as they are: torch would round them to bfloat16."""
        super().load_state_dict(state_dict)
        saved = [i for group in state_dict["param_groups"] for i in group["params"]]
        params = [p for group in self.param_groups for p in group["params"]]
        for i, p in zip(saved, params, strict=True):
            for name, value in state_dict["state"].get(i, {}).items():
                if name in _STATES.values() and value.dtype != p.dtype:
                    self.state[p][name] = value.to(p.device, average_dtype(p.dtype), copy=True)

    def _buckets(self, group: dict[str, Any]) -> Iterator[list[Tensor]]:
        """Count a step; yield parameters of one step count, dtype and device."""
        buckets: dict[tuple[object, torch.dtype, torch.device], list[Tensor]] = {}
        for p in group["params"]:
            if p.grad is None:
                continue
            if p.grad.is_sparse or p.is_complex():
                raise RuntimeError("EvolvedOptimizer supports dense real gradients only.")
            state = self.state[p]
            if not state:
                state["step"] = 0
                for symbol in self._needs:
                    dtype = average_dtype(p.dtype)
                    state[_STATES[symbol]] = torch.zeros_like(p, dtype=dtype)
            state["step"] = self._counter(state["step"], p.device)
            state["step"] += 1
            group["schedule_step"] = self._counter(group["schedule_step"], p.device)
            step = None if self._capturable else state["step"]
            buckets.setdefault((step, p.dtype, p.device), []).append(p)
        yield from buckets.values()

    def _counter(self, count: int | Tensor, device: torch.device) -> int | Tensor:
        """Return a number of steps in the form that this optimizer counts in."""
        if not self._capturable:
            return int(count)
        if isinstance(count, Tensor) and count.device == device:
            return count
        return torch.tensor(float(count), device=device)

    def _start(self, number: int) -> StartedRule:
        """Return the rule as it runs for a group, started with the group's tensors."""
        if number not in self._started:
            assert not isinstance(self.genome, Genome)
            self._started[number] = StartedRule(self.genome, self.param_groups[number])
        return self._started[number]

    def _update(self, group: dict[str, Any], params: list[Tensor], plan: Plan | None) -> None:
        """Step parameters of one bucket in the way that was asked for."""
        grads = [p.grad for p in params if p.grad is not None]
        if group["maximize"]:
            grads = list(torch._foreach_neg(grads))
        averages = {s: [self.state[p][_STATES[s]] for p in params] for s in self._needs}
        numbers = self._numbers(group, params) if plan is None else plan.numbers(params)
        update_tensors(
            params,
            grads,
            averages,
            numbers,
            None if plan is None else plan.directions(params),
            foreach=self._foreach,
            fused=self._fused,
            capturable=self._capturable,
        )

    def _numbers(self, group: dict[str, Any], params: list[Tensor]) -> Tensor | tuple[float, ...]:
        """Return the numbers of a step; counted on the device, a row for each parameter."""
        rule, total_steps, done = self._rule, group["total_steps"], group["schedule_step"]
        assert rule is not None
        if not self._capturable:
            settings = group | {"lr": float(group["lr"])}
            return step_numbers(
                rule,
                self.state[params[0]]["step"],
                total_steps=total_steps,
                schedule_step=done,
                settings=settings,
            )
        steps = torch.stack([self.state[p]["step"] for p in params]).double()
        columns = step_numbers(
            rule, steps, total_steps=total_steps, schedule_step=done.double(), settings=group
        )
        return torch.stack([torch.zeros_like(steps) + column for column in columns], dim=1)
