"""Objective "meta_loss": update rules, meta-trained or as they are, valued on held-out tasks."""

from collections.abc import Mapping
import math
from pathlib import Path
from typing import Any
from typing import TYPE_CHECKING

from optuna_evo.config import ControllerConfig
from optuna_evo.config import MetaTrainingConfig
from optuna_evo.config import TrainingConfig
from optuna_evo.errors import SpecError
from optuna_evo.objectives._kind import ObjectiveKind
from optuna_evo.rules import Genome
from optuna_evo.spec import shown
from optuna_evo.spec import StudySpec


if TYPE_CHECKING:
    from optuna_evo.objectives._meta_loss import MetaLossObjective


class MetaLossKind(ObjectiveKind):
    """The held-out loss at the end of inner runs."""

    name = "meta_loss"
    n_tasks = (1, None)
    takes = frozenset(
        {
            "trainer.steps",
            "objective.reports",
            "objective.budget",
            "objective.held_out",
            "objective.cost_weight",
        }
    )
    trains_controllers = True

    def check(self, spec: StudySpec) -> None:
        """Refuse the search for the worst rule, and a pruner that nobody would ask."""
        super().check(spec)
        if spec.direction != "minimize":
            raise SpecError(
                'The objective "meta_loss" is a loss: set direction = "minimize". Loss and cost '
                "together are one value by objective.cost_weight, or two in a study of Optuna by "
                "optuna_evo.objectives.LossAndCost."
            )
        if bad := [n for n in spec.tasks if not isinstance(spec.task.get(n, {}), Mapping)]:
            raise SpecError(
                f"`task.{bad[0]}` must be a table of that family's options, got "
                f"{shown(spec.task[bad[0]])}."
            )
        if spec.objective.reports == 1 and spec.pruner.name != "none":
            raise SpecError(
                f"The pruner {spec.pruner.name!r} is asked between reports, and these trials "
                "report once: leave out `pruner`, or set objective.reports."
            )

    def check_config(self, spec: StudySpec, config: Any) -> None:
        """Refuse what is no update rule of ours."""
        if isinstance(config, MetaTrainingConfig):
            return
        if isinstance(config, TrainingConfig) and isinstance(
            config.optimizer, Genome | ControllerConfig
        ):
            return
        raise SpecError(
            f"The space {spec.space.name!r} does not go with objective.name = "
            f'"meta_loss", which takes genomes, controllers and meta-trainings; got '
            f"{shown(config)}."
        )

    def check_data(self, spec: StudySpec) -> None:
        """Build the families."""
        self.build(spec, device="cpu", data_dir=None).selection()

    def describe(self, objective: Any) -> dict[str, float]:
        """Return the sizes of what is trained."""
        from optuna_evo.meta_training import build_family

        families = [build_family(d.name, d.options) for d in objective.families]
        sizes = [sum(math.prod(shape) for shape in family.layout) for family in families]
        return {
            "log_n_weights": math.log(sum(sizes) / len(sizes)),
            "log_steps": math.log(objective.steps),
        }

    def build(self, spec: StudySpec, *, device: str, data_dir: Path | None) -> "MetaLossObjective":
        """Build the objective."""
        from optuna_evo.meta_training import Domain
        from optuna_evo.objectives._meta_loss import MetaLossObjective

        # inner trainings are small: a GPU is no faster, and it is named where it is meant
        return MetaLossObjective(
            families=tuple(
                Domain.from_table({"name": name, **_options(spec, name)}, "task")
                for name in spec.tasks
            ),
            steps=spec.trainer.steps,
            budget=spec.objective.budget,
            reports=spec.objective.reports,
            held_out=spec.objective.held_out,
            cost_weight=spec.objective.cost_weight,
            seed=spec.seed % 2**31,
            device="cpu" if device == "auto" else device,
        )


def _options(spec: StudySpec, name: str) -> dict[str, Any]:
    """Return the options of a family: those of all, and those in a table under its name."""
    common = {k: v for k, v in spec.task.items() if k not in spec.tasks}
    return {**common, **spec.task.get(name, {})}
