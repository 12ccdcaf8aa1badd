"""Meta-training: learned optimizers are trained on distributions of small trainings.

A task family draws tasks from seeds; inner trainings run as one stack, by a controller for each
member; an estimator finds the meta-gradient; an outer Adam moves the meta-parameters. What is
shown of a controller is measured on tasks that it never saw, beside Adam tuned on other tasks.
"""

from optuna_evo.meta_training._baselines import adam_grid
from optuna_evo.meta_training._baselines import constant_losses
from optuna_evo.meta_training._baselines import Tuned
from optuna_evo.meta_training._baselines import tuned
from optuna_evo.meta_training._compare import compare
from optuna_evo.meta_training._compare import Comparison
from optuna_evo.meta_training._continual import EWC
from optuna_evo.meta_training._continual import meta_gradients
from optuna_evo.meta_training._continual import Replayed
from optuna_evo.meta_training._continual import Reservoir
from optuna_evo.meta_training._episodes import Horizons
from optuna_evo.meta_training._evaluate import evaluate
from optuna_evo.meta_training._evaluate import Evaluation
from optuna_evo.meta_training._evaluate import guarded_losses
from optuna_evo.meta_training._evaluate import held_out_losses
from optuna_evo.meta_training._evaluate import tuned_baselines
from optuna_evo.meta_training._families._characters import Characters
from optuna_evo.meta_training._families._digits import DigitsCNN
from optuna_evo.meta_training._families._digits import DigitsMLP
from optuna_evo.meta_training._families._family import TaskFamily
from optuna_evo.meta_training._families._family import Tasks
from optuna_evo.meta_training._families._quadratics import Quadratics
from optuna_evo.meta_training._families._registry import build_family
from optuna_evo.meta_training._families._registry import FAMILIES
from optuna_evo.meta_training._families._reparametrised import Reparametrised
from optuna_evo.meta_training._few_shot import adapt_few_shot
from optuna_evo.meta_training._fine_tuning import fine_tune
from optuna_evo.meta_training._flat import flat_parameters
from optuna_evo.meta_training._flat import set_parameters
from optuna_evo.meta_training._flat import unflattened
from optuna_evo.meta_training._maml import FewShotTasks
from optuna_evo.meta_training._maml import MAML
from optuna_evo.meta_training._meta_sgd import MetaSGD
from optuna_evo.meta_training._objective import MetaLoss
from optuna_evo.meta_training._roll import gradients
from optuna_evo.meta_training._roll import guarded_roll
from optuna_evo.meta_training._roll import Guarding
from optuna_evo.meta_training._roll import roll
from optuna_evo.meta_training._run import meta_train
from optuna_evo.meta_training._run import MetaListener
from optuna_evo.meta_training._run import state_folder
from optuna_evo.meta_training._seeds import task_seeds
from optuna_evo.meta_training._selection import Selection
from optuna_evo.meta_training._sinusoids import sinusoids
from optuna_evo.meta_training._spec import Domain
from optuna_evo.meta_training._spec import load_meta_spec
from optuna_evo.meta_training._spec import MetaSpec
from optuna_evo.meta_training._spec import OuterSpec
from optuna_evo.meta_training._spec import SelectionSpec
from optuna_evo.meta_training._trace import ControllerTrace
from optuna_evo.meta_training._trace import trace
from optuna_evo.meta_training._training import MetaTraining
from optuna_evo.meta_training._training import OuterRecord


__all__ = [
    "sinusoids",
    "MetaSGD",
    "MAML",
    "FewShotTasks",
    "fine_tune",
    "adapt_few_shot",
    "Reservoir",
    "Replayed",
    "EWC",
    "adam_grid",
    "build_family",
    "Characters",
    "compare",
    "Comparison",
    "constant_losses",
    "ControllerTrace",
    "DigitsCNN",
    "DigitsMLP",
    "Domain",
    "evaluate",
    "Evaluation",
    "FAMILIES",
    "flat_parameters",
    "gradients",
    "guarded_losses",
    "guarded_roll",
    "Guarding",
    "held_out_losses",
    "Horizons",
    "load_meta_spec",
    "meta_train",
    "meta_gradients",
    "MetaListener",
    "MetaLoss",
    "MetaSpec",
    "MetaTraining",
    "OuterRecord",
    "OuterSpec",
    "Quadratics",
    "Reparametrised",
    "roll",
    "Selection",
    "SelectionSpec",
    "set_parameters",
    "state_folder",
    "task_seeds",
    "TaskFamily",
    "Tasks",
    "trace",
    "tuned",
    "Tuned",
    "tuned_baselines",
    "unflattened",
]
