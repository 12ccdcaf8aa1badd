"""What the columns of a file of runs are: the value, parameters, the state, times, results.

Exports say it in part: MLflow's frames have `params.lr` and `metrics.loss`, W&B's nest `config`
and `summary`, Ray's have `config/lr`, Optuna's `params_lr`. In a plain table, such as the ones
that MLflow's and W&B's pages give, parameters and results stand side by side: there a name
decides, and what was decided is said.
"""

from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
import difflib
import re
from typing import Final

from optuna_evo.errors import UsageError
from optuna_evo.names import printable
from optuna_evo.study._imports._files import Cell
from optuna_evo.study._imports._files import Row
from optuna_evo.study._imports._ranges import number_of


__all__ = ["Layout", "read_layout"]

# Where an export has its parameters: the first that any column begins with is taken.
_PARAMETERS: Final = (
    *("data.params.", "params.", "params/", "params_", "config.", "config/", "param_", "param."),
    *("hparams.", "hparams/", "hyperparameters.", "hyperparameters/"),
)
_RESULTS: Final = (
    *("data.metrics.", "metrics.", "metrics/", "metric.", "summary.", "summaryMetrics."),
    *("data.tags.", "tags.", "info.", "inputs.", "user_attrs_", "system_attrs_", "system."),
    *("values_", "_", "system/", "gradients/", "parameters/", "media/", "data."),
)
_STATES: Final = ("state", "status", "trial_status")
_STARTS: Final = (
    *("start_time", "datetime_start", "started_at", "started", "created", "created_at"),
    *("createdat", "start"),
)
_ENDS: Final = (
    *("end_time", "datetime_complete", "finished_at", "ended_at", "ended", "completed_at"),
    *("heartbeatat", "heartbeat_at", "_timestamp", "timestamp", "end"),
)
_DURATIONS: Final = (
    *("runtime", "duration", "_runtime", "_wandb.runtime", "time_total_s", "wall_time"),
    *("walltime", "elapsed", "seconds"),
)
# What trackers say of a run beside its settings, in lower case with "_" for blanks.
_BOOKKEEPING: Final = frozenset(
    "name run_name run_id id number trial_id trial_name logdir experiment_id experiment_name "
    "artifact_uri lifecycle_stage user user_id username source_type source_name source_version "
    "notes note description tags tag sweep sweepname group job_type jobtype host hostname node "
    "node_ip pid date timestamp updated updated_at updatedat commit git_commit entity project url "
    "path display_name displayname command seed random_seed random_state rng_seed step epoch "
    "iteration iter global_step training_iteration trial unnamed:_0 index done".split()
).union(_STATES, _STARTS, _ENDS, _DURATIONS)
# Words in the name of a column of numbers that tell a result, and those that tell a setting of it.
_RESULT_WORDS: Final = frozenset(
    "loss losses acc accuracy auc auroc auprc ap map f1 recall err error errors rmse mse mae mape "
    "r2 perplexity ppl bleu rouge wer cer score scores reward return val valid validation test "
    "eval best final metric metrics iou miou dice top1 top5 fid psnr ssim nll logloss elbo "
    "fitness objective time seconds duration runtime elapsed timestamp grad gradient correlation "
    "spearman pearson throughput".split()
)
_SETTING_WORDS: Final = frozenset(
    "size split fraction frac ratio batch batches scale weight coef coefficient lambda alpha beta "
    "gamma rate lr decay penalty margin patience freq frequency interval every clip clipping norm "
    "max min num n use with smoothing steps epochs budget limit threshold".split()
)
_WORD: Final = re.compile(r"f1|r2|top1|top5|[a-z]+")
_MOST_SHOWN: Final = 12


@dataclass(frozen=True)
class Layout:
    """What the columns are.

    Args:
        value: The column of the value.
        parameters: Names of parameters with their columns.
        state: The column that says how a run ended; None: there is none.
        starts: Columns that say when a run started, the best first.
        ends: Columns that say when it ended.
        durations: Columns that say how long it took.
        skipped: What looks like a result or bookkeeping, and might be a parameter.
    """

    value: str
    parameters: Mapping[str, str]
    state: str | None
    starts: list[str]
    ends: list[str]
    durations: list[str]
    skipped: tuple[str, ...]


def read_layout(
    rows: Sequence[Row], value: str, parameters: Sequence[str] | None, source: str
) -> Layout:
    """Find out what the columns are.

    Args:
        rows: The runs.
        value: What the user calls the value: a column, or its name behind "metrics." or the like.
        parameters: What the user calls the parameters; None: to be found out.
        source: The file, for messages.

    Raises:
        UsageError: If there is no such column, or nothing is left to be a parameter.
    """
    columns = list(dict.fromkeys(column for row in rows for column in row))
    value_column = _find(value, columns, _RESULTS, "--value", source)
    prefix = next((p for p in _PARAMETERS if any(_has(c, p) for c in columns)), "")
    others = [column for column in columns if column != value_column]
    skipped: list[str] = []
    if parameters is not None:
        found = {p: _find(p, others, _PARAMETERS, "--params", source) for p in parameters}
        found = {name.removeprefix(prefix) or name: column for name, column in found.items()}
    elif prefix:
        found = {c.removeprefix(prefix): c for c in others if _has(c, prefix)}
        found = {name: c for name, c in found.items() if not name.startswith("_")}
    else:
        found = {c: c for c in others if not _is_known(c)}
        skipped = [c for c in found if _looks_like_result(c, rows)]
        found = {c: c for c in found if c not in skipped}
    if not found:
        raise UsageError(
            f"{source} has no columns that look like parameters: name them by --params; "
            f"there are {_listed(others)}."
        )
    if parameters is None:
        seeds = [c for c in others if "seed" in _plain(c) and _is_known(c)]
        skipped += [c for c in seeds if c not in found.values()]
    free = [column for column in others if column not in found.values()]
    return Layout(
        value_column,
        found,
        next(iter(_known(free, _STATES)), None),
        _known(free, _STARTS),
        _known(free, _ENDS),
        _known(free, _DURATIONS),
        tuple(skipped),
    )


def _find(
    name: str, columns: Sequence[str], prefixes: Collection[str], option: str, source: str
) -> str:
    candidates = [name, *(f"{prefix}{name}" for prefix in prefixes)]
    found = next((c for c in candidates if c in columns), None)
    if found is not None:
        return found
    near = difflib.get_close_matches(name, columns, n=3, cutoff=0.5)
    near += [c for c in columns if c.rpartition(".")[2] == name and c not in near]
    hint = f"; near it: {_listed(near)}" if near else ""
    raise UsageError(
        f"{option} {name!r:.200} is no column of {source}{hint}; there are {_listed(columns)}."
    )


def _has(column: str, prefix: str) -> bool:
    return column.startswith(prefix) and len(column) > len(prefix)


def _plain(column: str) -> str:
    """Return the name of a column as the lists above have it."""
    for prefix in ("data.info.", "info.", "summary.", "summaryMetrics.", "run."):
        column = column.removeprefix(prefix)
    return re.sub(r"[\s-]+", "_", column.strip().lower())


def _is_known(column: str) -> bool:
    return _plain(column) in _BOOKKEEPING or column.startswith(_RESULTS)


def _known(columns: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the columns that are called like one of the names, in the order of the names."""
    by_name: dict[str, str] = {}
    for column in columns:
        by_name.setdefault(_plain(column), column)
    return [by_name[name] for name in names if name in by_name]


def _looks_like_result(column: str, rows: Sequence[Row]) -> bool:
    words = set(_WORD.findall(column.lower()))
    if not words & _RESULT_WORDS or words & _SETTING_WORDS:
        return False
    cells: list[Cell] = [row[column] for row in rows if column in row]
    return sum(number_of(cell) is not None for cell in cells) > len(cells) / 2


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(printable(name)[:60] for name in names[:_MOST_SHOWN])
    n_more = len(names) - _MOST_SHOWN
    return f"{shown}, and {n_more} more" if n_more > 0 else shown
