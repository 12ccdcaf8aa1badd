"""Every key that optuna_evo writes to a study or a trial: what it means, who writes, who reads.

Keys carry the prefix `optuna_evo:`, so that they never meet a user's own. Two kinds have none:
what our objectives measured (`RECORDS`: columns of the dashboard's table), and what a sampler
keeps under its own name, as Optuna's samplers do. In schema 1 most keys had no prefix: those names
are aliases, which are read and never written.

    from optuna_evo.attributes import PARENT
    parent = PARENT.read(trial.user_attrs)      # by the key or an alias; None: not there
    trial.set_user_attr(PARENT.key, 3)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from typing import Final
from typing import Literal


__all__ = ["Attribute", "ATTRIBUTES", "Place", "RECORDS", "SCHEMA_VERSION"]

SCHEMA_VERSION: Final = 2
"""Of what the attributes of a study mean; a study of a later one is refused."""

_PREFIX: Final = "optuna_evo:"
Place = Literal["trial", "trial system", "study", "study system"]


@dataclass(frozen=True, kw_only=True)
class Attribute:
    """A key in the database.

    Args:
        key: What is written.
        place: User attributes of trials or studies, or their system attributes.
        meaning: What the value says, with its type.
        writer: Package that writes it.
        readers: Packages that read it.
        aliases: Keys of earlier schemas, read where `key` is not there.

    Example:
        >>> PARENT.read({"parent": 3}), PARENT.read({}, default=-1)
        (3, -1)
    """

    key: str
    place: Place
    meaning: str
    writer: str
    readers: tuple[str, ...]
    aliases: tuple[str, ...] = ()

    def read(self, attrs: Mapping[str, Any], default: Any = None) -> Any:
        """Return the value in user or system attributes; `default` where it is not there."""
        if self.key in attrs:
            return attrs[self.key]
        for key in self.aliases:  # plain loops: samplers read every trial at every ask
            if key in attrs:
                return attrs[key]
        return default

    def is_in(self, attrs: Mapping[str, Any]) -> bool:
        """Tell whether the attribute was written."""
        if self.key in attrs:
            return True
        for key in self.aliases:
            if key in attrs:
                return True
        return False


def _trial(name: str, meaning: str, writer: str, *readers: str, alias: str = "") -> Attribute:
    return Attribute(
        key=_PREFIX + name,
        place="trial",
        meaning=meaning,
        writer=writer,
        readers=readers,
        aliases=(alias or name,),
    )


def _study(name: str, meaning: str, writer: str, *readers: str, alias: str = "") -> Attribute:
    return Attribute(
        key=_PREFIX + name,
        place="study",
        meaning=meaning,
        writer=writer,
        readers=readers,
        aliases=(alias,) if alias else (),
    )


def _system(key: str, place: Place, meaning: str, *readers: str, alias: str = "") -> Attribute:
    """A sampler's state under the sampler's name, as Optuna's samplers have theirs."""
    return Attribute(
        key=key,
        place=place,
        meaning=meaning,
        writer="samplers",
        readers=("samplers", *readers),
        aliases=(alias,) if alias else (),
    )


# --- studies
SCHEMA: Final = _study("schema", "Schema version (int).", "study", "study")
SPEC: Final = _study(
    "spec",
    "The resolved spec (table). Without it a study is not ours.",
    "study",
    "study",
    "warm_start",
)
SOURCES: Final = _study(
    "sources",
    "References of the studies it starts from (list of str).",
    "warm_start",
    "warm_start",
    "study",
    "reports",
    "cli",
)
SOURCE_WEIGHTS: Final = _study(
    "source_weights",
    "How far each source is believed, in [0, 1] (table by reference).",
    "samplers",
    "warm_start",
    "reports",
    "cli",
    alias="source_weights",
)
META_FEATURES: Final = _study(
    "meta_features",
    "What is known about the task before training (table of float).",
    "study",
    "samplers",
    alias="meta_features",
)
JUDGEMENT: Final = _study(
    "judge",
    "Rows of the last comparison with classic optimizers (list of tables).",
    "study",
    "study",
    "reports",
)
JUDGED: Final = _study(
    "judged",
    "Of a study that holds trainings of a judgement: the study or rule that is judged, and what "
    "is trained (table).",
    "evaluation",
    "search",
    "study",
)
VERDICT: Final = _study(
    "verdict",
    "The record of the last judgement, tables and verdicts (table).",
    "study",
    "study",
    "reports",
)
FINAL: Final = _study(
    "final",
    "The final training of the best trial: its number, its test metrics (table).",
    "study",
    "study",
)

ENVIRONMENT: Final = _study(
    "environment",
    "Threads, torch, device and precision of its runs, each once (list of tables).",
    "study",
    "study",
)

RUNS: Final = _study(
    "runs",
    "Its runs: date, command, commit and versions of what ran, the last 20 (list of tables).",
    "study",
    "study",
)
NOTE: Final = _study(
    "note",
    "Digest of the note that we wrote last: another one is the user's (str).",
    "study",
    "study",
)
IMPORTED: Final = _study(
    "imported",
    "Where its runs come from: file, column of the value, what was inferred (table).",
    "study",
    "study",
    "warm_start",
)

# --- trials: written by the search
WORKER: Final = _trial(
    "worker",
    'Who trains it ("host:boot:namespace:start:pid"; "host:pid" in earlier versions).',
    "search",
    "search",
    "study",
    "workers",
)
FINGERPRINT: Final = _trial(
    "fingerprint", "What it trained with, the same for equal trainings (str).", "search", "search"
)
OBJECTIVE: Final = _trial(
    "objective",
    "Fingerprint of what it trained on (str).",
    "search",
    "search",
    alias="trained_on",
)
REUSED_FROM: Final = _trial(
    "reused_from", "Number of the trial that had trained the same (int).", "search", "reports"
)
SAMPLER_SECONDS: Final = _trial(
    "sampler_seconds",
    "Seconds in which its parameters were proposed (float).",
    "search",
    "reports",
)
DIVERGED: Final = _trial(
    "diverged",
    "Its value is the penalty for a divergence (true). Users may write it too.",
    "search",
    "samplers",
    "search",
    "reports",
)
ERROR: Final = _trial(
    "error",
    "Why it failed, or has its penalty: it ran out of memory (str).",
    "search",
    "reports",
    "cli",
    "workers",
)
TRACEBACK: Final = Attribute(
    key=_PREFIX + "traceback",
    place="trial",
    meaning="The last lines of the traceback of its error (list of str).",
    writer="search",
    readers=("workers",),
)
PARENT: Final = _trial(
    "parent",
    "Number of the trial whose weights it went on from; None: fresh ones.",
    "samplers, search",
    "search",
    "reports",
)
LOST_CHECKPOINT: Final = _trial(
    "lost_checkpoint", "Why it could not go on from its parent, and what it did (str).", "search"
)

# --- trials: written by samplers
PROPOSED_BY: Final = _trial(
    "proposed_by", "Which part of the sampler proposed it (str).", "samplers", "reports"
)
REPETITION: Final = _trial(
    "repetition",
    "How many trials had its parameters before (int): shift your seed by it.",
    "samplers",
    "search",
    alias="reevaluation",
)
MEMBER: Final = _trial(
    "member", "Member of the population that it is a segment of (int).", "samplers", "reports"
)
SEGMENT: Final = _trial(
    "segment", "Its number along its lineage, from 0 (int).", "samplers", "reports"
)
TEMPERATURE: Final = _trial("temperature", "Scale of its noise (float).", "samplers")
GA_ASSIGNMENT: Final = _system(
    "GASampler:ticket", "trial system", "Its slot in the population and its parents (table)."
)
GA_GENERATION: Final = _system(
    "GASampler:generation",
    "trial system",
    "Its generation, where Optuna's genetic samplers have it (int).",
    "reports",
    alias="HybridSampler:generation",
)
GA_STUDY: Final = _system(
    "GASampler:study", "study system", "The name that its random streams have (str)."
)
RECURRENCE_ASSIGNMENT: Final = _system(
    "RecurrenceSampler:segment", "trial system", "Its segment, parent and genes (table)."
)
RECURRENCE_STUDY: Final = _system(
    "RecurrenceSampler:study", "study system", "That name, and a seed for no seed (table)."
)

# --- trials: written by storages
WRITE: Final = Attribute(
    key=_PREFIX + "write",
    place="trial system",
    meaning="Token of the write that made it or changed its state last, on servers (str).",
    writer="search",
    readers=("search",),
)
BEAT: Final = Attribute(
    key=_PREFIX + "beat",
    place="trial system",
    meaning="Changes while its worker lives, where a storage has no heartbeat (str).",
    writer="search",
    readers=("search",),
)

# --- trials: measured by a user's objective, read by our samplers
GRAD_NORM: Final = Attribute(
    key="grad_norm",
    place="trial",
    meaning="Mean norm of the gradient over a segment (float).",
    writer="objectives",
    readers=("samplers",),
)

JUDGE_SLOT: Final = Attribute(
    key=_PREFIX + "judge_slot",
    place="trial",
    meaning="Which of the trainings of a judgement it is (int).",
    writer="evaluation",
    readers=("evaluation",),
)

CONTROLLER: Final = Attribute(
    key=_PREFIX + "controller",
    place="trial",
    meaning="Kind and settings of the controller that it meta-trained (table); its weights are "
    "texts under this key with :0, :1, ….",
    writer="objectives",
    readers=("study",),
)

LOSS_CURVE: Final = Attribute(
    key=_PREFIX + "loss_curve",
    place="trial system",  # user attributes are columns of the dashboard's table
    meaning="Its training losses: steps, and for each task a list of means over equal shares of "
    "them for each seed (table).",
    writer="objectives",
    readers=("search", "reports"),
)

RECORDS: Final[Mapping[str, str]] = {
    "accuracies": "Validation accuracies by task, one for each seed.",
    "accuracy_TASK": "Their mean, for each task.",
    "train_loss": "Mean training loss of the last steps.",
    "valid_loss": "Mean loss on the validation rows, at the report that counts.",
    "train_metrics": "The task's metric on a sample of training rows, after each epoch.",
    "optimizer_steps": "Optimizer steps done.",
    "share_trained": "Share of the whole training that was done.",
    "seconds": "Seconds of training and evaluation.",
    "reports": "Times that the validation rows, or a fold, were measured.",
    "lr_scale": "What the learning rate was multiplied by on plateaus.",
    "first_step": "Optimizer steps of the lineage before the segment.",
    "inner_steps": "Training steps of all inner runs of a meta-training together.",
    "step_cost": "Operations of a controller's step for each parameter.",
    "perplexity": "Exponential of a language model's loss.",
    "grad_norm": GRAD_NORM.meaning,
    "test_loss, test_metric": "What a judgement measured on test rows.",
    "valid_metric": "The metric on the validation rows.",
    "diverged_share": "Share of the trainings of a trial that diverged.",
    "curve": "Loss on the validation rows along a training of a judgement (list).",
    "untrained": "Loss of the network before its training, which a diverged one counts as.",
    "accuracy, f1, auc, mse, …": "The metrics of the task's kind (`optuna_evo.metrics`).",
}
"""What our objectives write about a trial, by key; a task may add notes of its own."""

ATTRIBUTES: Final[tuple[Attribute, ...]] = tuple(
    value for value in list(globals().values()) if isinstance(value, Attribute)
)
"""All of them."""
