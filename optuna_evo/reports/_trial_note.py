"""A trial's note in the dashboard, in Markdown: what it trained with, what came of it, why."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

from optuna.trial import FrozenTrial

from optuna_evo.attributes import DIVERGED
from optuna_evo.attributes import ERROR
from optuna_evo.attributes import GA_ASSIGNMENT
from optuna_evo.attributes import LOST_CHECKPOINT
from optuna_evo.attributes import MEMBER
from optuna_evo.attributes import PROPOSED_BY
from optuna_evo.attributes import REPETITION
from optuna_evo.attributes import REUSED_FROM
from optuna_evo.attributes import SAMPLER_SECONDS
from optuna_evo.attributes import SEGMENT
from optuna_evo.config import TrainingConfig
from optuna_evo.metrics import ALL_METRICS
from optuna_evo.reports._kinship import parents_of
from optuna_evo.reports._markdown import fenced
from optuna_evo.reports._markdown import in_markdown
from optuna_evo.reports._markdown import markdown_table
from optuna_evo.reports._summary import generation_of
from optuna_evo.reports._summary import settings_of


__all__ = ["trial_note", "TrialPlace"]

_MOST_KIN = 12
_MOST_TEXT = 2_000  # characters of an error, or of parameters


class TrialPlace(NamedTuple):
    """What a note says of a trial that only the whole study tells.

    Args:
        page: Address of the trials' pages, to which a number is added; empty: no links.
        is_best: Whether it is the best of the study.
        children: Numbers of the trials that were bred from it, or went on from it.
        picture: Address of the picture of its course; empty: none.
    """

    page: str = ""
    is_best: bool = False
    children: Sequence[int] = ()
    picture: str = ""


def trial_note(trial: FrozenTrial, config: Any, place: TrialPlace) -> str:
    """Return the note of a trial.

    Args:
        trial: The trial.
        config: What its search space makes of it; None where that is not known.
        place: Its place in the study.
    """
    attrs = trial.user_attrs
    lines = [_head(trial, place), ""]
    optimizer = config.optimizer if isinstance(config, TrainingConfig) else None
    shown = [optimizer.equation()] if optimizer else []
    shown += [settings_of(config, trial.params)]
    text = "\n".join(filter(None, shown))
    if text:
        lines += [*fenced(text[:_MOST_TEXT]), ""]
    if isinstance(attrs.get("accuracies"), Mapping) and attrs["accuracies"]:
        lines += [*_by_seed(attrs["accuracies"]), ""]
    elif metrics := [(n, f"{attrs[n]:.4g}") for n in ALL_METRICS if _is_number(attrs.get(n))]:
        lines += [*markdown_table(("metric", "validation"), metrics), ""]
    if place.picture:
        lines += [f"![course of trial {trial.number}]({place.picture})", ""]
    lines += ["### Why it was proposed", "", _reason(trial, place), ""]
    if kin := _kin(trial, place):
        lines += ["### Lineage", "", *kin, ""]
    if ERROR.is_in(attrs):
        lines += ["### Why it failed", "", *fenced(str(ERROR.read(attrs))[:_MOST_TEXT]), ""]
    lines += ["### Cost", "", _cost(trial)]
    return "\n".join(lines)


def _head(trial: FrozenTrial, place: TrialPlace) -> str:
    value = "" if trial.value is None else f", value {trial.value:.6g}"
    words = [f"**Trial {trial.number}:** {trial.state.name.lower()}{value}"]
    if place.is_best:
        words.append("**the best of the study**")
    if DIVERGED.is_in(trial.user_attrs):
        words.append("its training diverged, and the value is the penalty for that")
    return "; ".join(words) + "."


def _by_seed(accuracies: Mapping[str, Sequence[float]]) -> list[str]:
    n_seeds = max(map(len, accuracies.values()))
    header = ("validation, task", *(f"seed {k}" for k in range(n_seeds)), "mean")
    rows = []
    for task, values in accuracies.items():
        cells = [f"{v:.4f}" for v in values] + [""] * (n_seeds - len(values))
        mean = f"{sum(values) / len(values):.4f}" if values else "diverged"
        rows.append((task, *cells, mean))
    return markdown_table(header, rows)


def _reason(trial: FrozenTrial, place: TrialPlace) -> str:
    attrs, system = trial.user_attrs, trial.system_attrs
    words = []
    if (by := PROPOSED_BY.read(attrs)) is not None:
        words.append(f"proposed by: {in_markdown(str(by))}")
    slot = GA_ASSIGNMENT.read(system)
    generation = generation_of(trial)
    if generation is not None:
        where = f"generation {generation}"
        if isinstance(slot, dict):
            where += f", slot {slot.get('slot')} of {slot.get('n_slots')}"
        words.append(where)
    if isinstance(slot, dict) and slot.get("repeats") is not None:
        words.append(f"{_link(slot['repeats'], place)} was evaluated once more, with other seeds")
    elif isinstance(slot, dict) and slot.get("parents"):
        parents = " and ".join(_link(n, place) for n in parents_of(trial))
        words.append(f"bred from {parents}")
    elif isinstance(slot, dict) and generation == 0:
        words.append("drawn at random, to begin with")
    if MEMBER.is_in(attrs):
        words.append(f"member {MEMBER.read(attrs)}, segment {SEGMENT.read(attrs)}")
    if "fixed_params" in system:
        words.append("enqueued: somebody asked for these parameters")
    if (owner := REUSED_FROM.read(attrs)) is not None:
        words.append(f"it trained the same as {_link(owner, place)} and took its result")
    if n := REPETITION.read(attrs, 0):
        words.append(f"repetition {n} of its parameters, with other seeds")
    if (lost := LOST_CHECKPOINT.read(attrs)) is not None:
        words.append(in_markdown(str(lost)))
    text = "; ".join(words)
    return f"{text[:1].upper()}{text[1:]}." if text else "By the sampler, which left no reason."


def _kin(trial: FrozenTrial, place: TrialPlace) -> list[str]:
    lines = []
    if parents := parents_of(trial):
        lines.append(f"- parents: {_links(parents, place)}")
    if place.children:
        lines.append(f"- children: {_links(place.children, place)}")
    return lines


def _cost(trial: FrozenTrial) -> str:
    attrs = trial.user_attrs
    words = []
    if trial.duration is not None:
        words.append(f"{trial.duration.total_seconds():.2f} s from begin to end")
    if _is_number(seconds := attrs.get("seconds")):
        words.append(f"{seconds:.2f} s of training and measuring")
    if _is_number(steps := attrs.get("optimizer_steps")):
        words.append(f"{steps} optimizer steps")
    if _is_number(proposing := SAMPLER_SECONDS.read(attrs)):
        words.append(f"{1000 * proposing:.1f} ms to propose it")
    return f"{', '.join(words)}." if words else "Not known."


def _links(numbers: Sequence[int], place: TrialPlace) -> str:
    more = f" and {len(numbers) - _MOST_KIN} more" if len(numbers) > _MOST_KIN else ""
    return ", ".join(_link(n, place) for n in numbers[:_MOST_KIN]) + more


def _link(number: Any, place: TrialPlace) -> str:
    if not isinstance(number, int) or not place.page:
        return f"trial {in_markdown(str(number))}"
    return f"[trial {number}]({place.page}{number})"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
