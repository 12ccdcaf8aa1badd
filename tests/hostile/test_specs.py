"""Specs: what they say is done, or refused in one line when the study is made."""

from collections.abc import Iterator
import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from torch import nn

from optuna_evo import tasks
from optuna_evo.errors import OptunaEvoError
from optuna_evo.errors import SpecError
from optuna_evo.errors import UsageError
from optuna_evo.objectives import CurveObjective
from optuna_evo.objectives import FitnessObjective
from optuna_evo.objectives import FunctionObjective
from optuna_evo.objectives import OpenTrial
from optuna_evo.samplers import GASampler
from optuna_evo.samplers import HybridSampler
from optuna_evo.samplers import RecurrenceSampler
from optuna_evo.search import search
from optuna_evo.spec import load_spec
from optuna_evo.spec import StudySpec
from optuna_evo.study import build_space
from optuna_evo.study import check_parts
from optuna_evo.study import create_study
from optuna_evo.study import resolve_spec
from optuna_evo.study import run_study
from optuna_evo.trainers import _hardware
from tests.hostile.values import mutations


HERE = __name__
FIRST_FINGERPRINT = "739ec857ac2b3745"  # of the objective below in earlier versions
PLAIN: dict[str, Any] = {"name": "s", "tasks": ["two_moons"], "n_trials": 2}
BASES: dict[str, dict[str, Any]] = {
    "fitness": PLAIN,
    "accuracy": {**PLAIN, "objective": {"name": "accuracy"}, "space": {"name": "training"}},
    "area": {**PLAIN, "objective": {"name": "area"}, "space": {"name": "training"}},
    "segment": {
        **PLAIN,
        "objective": {"name": "segment"},
        "space": {"name": "genome"},
        "sampler": {"name": "recurrence"},
    },
    "table": {
        **PLAIN,
        "tasks": ["wine"],
        "objective": {"name": "table", "reports": 3},
        "space": {"name": "estimator", "estimators": ["linear"]},
    },
    "function": {"name": "s", "objective": {"name": f"{HERE}:function"}},
    "own": {"name": "s", "objective": {"name": f"{HERE}:own"}},
}


def function(trial: optuna.Trial) -> float:
    return trial.suggest_float("x", 0, 1)


class _Own:
    n_reports, penalty = 1, -1.0

    def start(self, configs: Any, *, repetition: int = 0) -> Any:
        raise AssertionError

    def value(self, reported: Any) -> float:
        return float(reported[-1])

    def test(self, config: Any) -> dict[str, float]:
        return {"mine": 1.0}


own = _Own()


class NoDropout(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.layer(inputs)


no_dropout = dataclasses.replace(
    tasks.get("two_moons"), name="no_dropout", build_model=lambda: NoDropout()
)
takes_any = dataclasses.replace(
    tasks.get("two_moons"), name="takes_any", build_model=lambda **options: NoDropout()
)


def checked(data: dict[str, Any]) -> StudySpec:
    spec = resolve_spec(StudySpec.from_dict(data))
    check_parts(spec)
    return spec


def merged(base: str, changes: dict[str, Any]) -> dict[str, Any]:
    data = dict(BASES[base])
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(data.get(key), dict)
        data[key] = {**data[key], **value} if both else value
    return data


@pytest.mark.parametrize("base", BASES)
def test_each_base_of_these_tests_is_accepted(base: str) -> None:
    assert checked(BASES[base]).name == "s"


# --- what a spec says is done or refused -------------------------------------------------------

SETTINGS: dict[str, dict[str, Any]] = {
    "trainer.steps": {"trainer": {"steps": 7}},
    "trainer.epochs": {"trainer": {"epochs": 1.5}},
    "trainer.precision": {"trainer": {"precision": "bfloat16"}},
    "float16": {"trainer": {"precision": "float16"}},
    "trainer.kind": {"trainer": {"kind": "sequential"}},
    "trainer.early_stopping": {"trainer": {"early_stopping": {"patience": 2}}},
    "trainer.reduce_on_plateau": {"trainer": {"reduce_on_plateau": {"patience": 2}}},
    "objective.seeds": {"objective": {"seeds": 3}},
    "objective.loss_weight": {"objective": {"loss_weight": 0.5}},
    "objective.loss_window": {"objective": {"loss_window": 7}},
    "objective.side_by_side": {"objective": {"side_by_side": True}},
    "objective.reports": {"objective": {"reports": 4}},
    "objective.metric": {"objective": {"metric": "f1"}},
    "objective.divergence_penalty": {"objective": {"divergence_penalty": -3.0}},
    "objective.budget": {"objective": {"budget": 9000}},
    "objective.cost_weight": {"objective": {"cost_weight": 0.5}},
    "objective.held_out": {"objective": {"held_out": 7}},
    "objective.cost": {"objective": {"cost": "seconds"}},
    "lineage.inherit": {"lineage": {"inherit": "none"}},
    "lineage.checkpoints": {"lineage": {"checkpoints": "folder"}},
    "judge.seeds": {"judge": {"seeds": 9}},
    "judge.tuning_trials": {"judge": {"tuning_trials": 3}},
    "final.epochs": {"final": {"epochs": 2.0}},
    "final.cosine": {"final": {"epochs": 2.0, "cosine": False}},
}
_TRAINS = {
    "trainer.steps",
    "trainer.precision",
    "trainer.kind",
    "objective.divergence_penalty",
}
TAKEN = {
    "fitness": _TRAINS
    | {"objective.seeds", "objective.loss_weight", "objective.loss_window"}
    | {"objective.side_by_side", "judge.seeds", "judge.tuning_trials"},
    "accuracy": _TRAINS
    | {"trainer.epochs", "trainer.early_stopping", "trainer.reduce_on_plateau"}
    | {"objective.reports", "objective.metric", "final.epochs", "final.cosine"},
    "area": _TRAINS
    | {"trainer.epochs", "trainer.reduce_on_plateau", "objective.reports", "objective.metric"},
    "segment": _TRAINS
    | {"float16", "objective.reports", "lineage.inherit", "lineage.checkpoints"},
    "table": {"objective.reports", "objective.metric"},
    "function": set(),
    "own": {"final.epochs"},
}


def test_the_settings_of_these_tests_are_all_that_a_spec_has() -> None:
    sections = ("trainer", "objective", "lineage", "judge", "final")
    spec = StudySpec(name="s")
    known = {
        f"{section}.{field.name}"
        for section in sections
        for field in dataclasses.fields(getattr(spec, section))
    }
    assert known - {"objective.name"} == set(SETTINGS) - {"float16"}


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("setting", SETTINGS)
def test_each_key_of_a_spec_is_taken_by_a_kind_or_refused(base: str, setting: str) -> None:
    data = merged(base, SETTINGS[setting])
    if setting in TAKEN[base] or setting == "objective.cost":  # every trial takes time
        assert checked(data)
    else:
        with pytest.raises(SpecError, match="goes with|leave out|objective.side_by_side"):
            checked(data)


def test_each_key_that_the_training_kinds_take_reaches_what_trains() -> None:
    reached = {
        "trainer.steps": "steps",
        "trainer.epochs": "epochs",
        "trainer.precision": "precision",
        "trainer.kind": "trainer",
        "trainer.early_stopping": "early_stopping",
        "trainer.reduce_on_plateau": "reduce_on_plateau",
        "objective.seeds": "seeds",
        "objective.loss_weight": "loss_weight",
        "objective.loss_window": "loss_window",
        "objective.side_by_side": "reports",
        "objective.reports": "reports",
        "objective.metric": "metric",
        "objective.divergence_penalty": "penalty",
    }
    from optuna_evo.study import build_objective

    for base in ("fitness", "accuracy", "segment"):
        plain = build_objective(StudySpec.from_dict(BASES[base]), device="cpu")
        for setting in sorted(TAKEN[base] & set(reached)):
            data = merged(base, SETTINGS[setting])
            objective = build_objective(StudySpec.from_dict(data), device="cpu")
            changed = getattr(objective, reached[setting])
            assert changed != getattr(plain, reached[setting]), (base, setting)


@pytest.mark.parametrize(
    ("base", "changes", "message"),
    [
        ("fitness", {"direction": "minimize"}, '"fitness" is to be maximised'),
        ("fitness", {"tasks": ["two_moons", "gpt2"]}, "which that of 'gpt2' is not"),
        ("fitness", {"objective": {"reports": 3}}, "goes with objective.side_by_side = true"),
        ("fitness", {"judge": {"seeds": 0, "tuning_trials": 3}}, "goes with `judge.seeds`"),
        (
            "fitness",
            {"objective": {"loss_weight": 0.0, "loss_window": 3}},
            "goes with an `objective.loss_weight`",
        ),
        ("accuracy", {"trainer": {"epochs": 1.0, "steps": 9}}, "takes the place of"),
        ("accuracy", {"final": {"cosine": False}}, "goes with `final.epochs`"),
        (
            "accuracy",
            {"space": {"name": "bert"}, "trainer": {"epochs": 2.0}},
            "so that `trainer.epochs` would not count",
        ),
        (
            "accuracy",
            {"space": {"name": "bert"}, "trainer": {"steps": 9}},
            "so that `trainer.steps` would not count",
        ),
        (
            "accuracy",
            {
                "space": {"name": "training", "optimizer": "NAdam"},
                "trainer": {"kind": "population"},
            },
            '"population" stacks genomes',
        ),
        (
            "segment",
            {"trainer": {"kind": "population", "precision": "float16"}},
            'does not go with `trainer.precision` "float16"',
        ),
        (
            "accuracy",
            {"objective": {"reports": 1}, "pruner": {"name": "median"}},
            "these trials report once",
        ),
        (
            "fitness",
            {"objective": {"seeds": 1}, "pruner": {"name": "median"}},
            "these trials report once",
        ),
        ("function", {"tasks": ["digits"]}, "leave out `tasks`"),
        ("own", {"tasks": ["digits"]}, "leave out `tasks`"),
        ("own", {"task": {"size": 1}}, "leave out `task`"),
    ],
)
def test_what_would_be_ignored_is_refused(
    base: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        checked(merged(base, changes))


@pytest.mark.parametrize("kind", ["sequential", "population"])
def test_a_segment_is_trained_as_the_spec_says(kind: str) -> None:
    from optuna_evo.study import build_objective

    spec = checked(merged("segment", {"trainer": {"kind": kind, "steps": 4}}))
    space = build_space(spec)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    objective: Any = build_objective(spec, device="cpu")
    cohort = objective.cohort([space(study.ask()) for _ in range(2)])
    assert type(cohort).__name__.lower().startswith(kind)


# --- precision "auto" in the fingerprint -------------------------------------------------------


@pytest.mark.parametrize("make", [CurveObjective, FitnessObjective])
def test_the_fingerprint_says_what_auto_comes_to_here(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = dataclasses.replace(tasks.get("two_moons"), bfloat16=True)
    what = {"task": task, "seed": 0} if make is CurveObjective else {"tasks": [task], "seeds": [0]}

    def fingerprint(precision: str) -> str:
        return str(make(**what, steps=3, precision=precision).fingerprint())

    monkeypatch.setattr(_hardware, "_is_fast_at_bfloat16", lambda device: False)
    assert fingerprint("auto") == fingerprint("float32") != fingerprint("bfloat16")
    monkeypatch.setattr(_hardware, "_is_fast_at_bfloat16", lambda device: True)
    assert fingerprint("auto") == fingerprint("bfloat16")


def test_a_task_that_never_uses_bfloat16_keeps_its_old_fingerprint() -> None:
    objective = CurveObjective(task=tasks.get("two_moons"), seed=0, steps=3, data_dir=Path("x"))
    assert objective.fingerprint() == FIRST_FINGERPRINT


def test_a_float32_curve_is_not_reused_where_auto_is_bfloat16(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = dataclasses.replace(tasks.get("two_moons"), bfloat16=True)
    objective = CurveObjective(task=task, seed=0, steps=2, reports=1)
    spec = StudySpec.from_dict(BASES["accuracy"])
    study = optuna.create_study(direction="maximize")
    point = {"lr": 1e-3, "weight_decay": 1e-4, "dropout": 0.2, "batch_size": 64}
    for is_fast in (False, True, True):
        monkeypatch.setattr(_hardware, "_is_fast_at_bfloat16", lambda device, fast=is_fast: fast)
        study.enqueue_trial(point)
        search(study, space=build_space(spec), objective=objective, n_trials=9, n_more=1)
    reused = [t.user_attrs.get("optuna_evo:reused_from") for t in study.trials]
    assert reused == [None, None, 1]


# --- what the model takes, and switching parameters off ----------------------------------------


def test_a_space_asks_only_for_what_the_model_takes() -> None:
    spec = checked(merged("accuracy", {"tasks": [f"{HERE}:no_dropout"]}))
    assert spec.space.options == {"dropout": False}
    assert resolve_spec(spec) == spec
    assert checked(merged("accuracy", {"tasks": [f"{HERE}:takes_any"]})).space.options == {}
    stored = create_study(spec, optuna.storages.InMemoryStorage())
    run_study(stored, device="cpu")
    assert all("dropout" not in t.params for t in stored.study.trials)


@pytest.mark.parametrize("space", ["cnn", "language_model"])
def test_every_space_with_dropout_leaves_it_out_where_no_model_takes_it(space: str) -> None:
    base = "segment" if space == "language_model" else "accuracy"
    data = merged(base, {"tasks": [f"{HERE}:no_dropout"], "space": {"name": space}})
    assert checked(data).space.options == {"dropout": False}


def test_what_a_spec_asks_for_and_no_model_takes_is_refused_when_the_study_is_made() -> None:
    data = merged("accuracy", {"tasks": [f"{HERE}:no_dropout"], "space": {"dropout": [0.1, 0.2]}})
    with pytest.raises(SpecError, match="sets 'dropout', which the model .* space.dropout = fal"):
        checked(data)


SEARCHED = {
    "training": ("lr", "weight_decay", "dropout", "batch_size"),
    "cnn": ("lr", "batch_size", "epochs", "dropout"),
    "resnet_continuous": ("lr", "batch_size", "epochs", "weight_decay"),
    "language_model": ("lr", "beta1", "beta2", "weight_decay", "warmup_steps", "clip_norm"),
    "genome": ("alpha", "lr", "beta1", "beta2", "eps", "weight_decay", "clip_value"),
}


def _off() -> Iterator[tuple[str, str]]:
    return ((space, name) for space, names in SEARCHED.items() for name in names)


@pytest.mark.parametrize(("space", "name"), list(_off()))
def test_false_in_toml_switches_a_parameter_off_in_every_space(
    space: str, name: str, tmp_path: Path
) -> None:
    kind = {"language_model": "segment", "genome": "fitness"}.get(space, "accuracy")
    path = tmp_path / "s.toml"
    path.write_text(
        f'tasks = ["two_moons"]\nobjective.name = "{kind}"\n'
        f'sampler.name = "{"recurrence" if kind == "segment" else "random"}"\n'
        f'[space]\nname = "{space}"\n{name} = false\n'
    )
    spec = resolve_spec(load_spec(path))
    check_parts(spec)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(20):
        trial = study.ask()
        build_space(spec)(trial)
        assert not [key for key in trial.params if key.startswith(name)]


def test_a_space_of_which_nothing_is_left_is_refused() -> None:
    off = dict.fromkeys(SEARCHED["training"], False)
    with pytest.raises(SpecError, match="suggests nothing"):
        checked(merged("accuracy", {"space": off}))


# --- accepted when made, crash when run --------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "changes", "message"),
    [
        ("fitness", {"sampler": {"name": "tpe", "gamma": 3}}, "takes a function or an object"),
        ("fitness", {"sampler": {"name": "gp", "independent_sampler": "x"}}, "takes a function"),
        ("fitness", {"sampler": {"name": "ga", "n_elites": 1.5}}, "n_elites` must be a whole"),
        ("fitness", {"sampler": {"name": "ga", "lists": 1.5}}, "must be 'auto' or a table"),
        ("fitness", {"sampler": {"name": "ga", "population_size": 2**63}}, "below 2\\*\\*63"),
        ("fitness", {"sampler": {"name": "ga", "population_size": 2**40}}, "at most 100,000"),
        ("fitness", {"sampler": {"name": "hybrid", "population_size": 2**40}}, "at most 100,000"),
        ("fitness", {"sampler": {"name": "thompson", "n_candidates": 2**40}}, "at most 100,000"),
        ("fitness", {"sampler": {"name": "tpe", "n_ei_candidates": 0}}, "does not work with the"),
        ("fitness", {"sampler": {"name": "tpe", "seed": 2**40}}, "cannot be built"),
        ("fitness", {"sampler": {"name": "tpe", "seed": "x"}}, "`sampler.seed` must be a whole"),
        ("fitness", {"sampler": {"name": "builtins:print"}}, "function or class of Python"),
        ("fitness", {"sampler": {"name": "os:system", "command": "false"}}, "of Python, got"),
        ("fitness", {"sampler": {"name": "builtins:dict"}}, "'builtins:dict'"),
        ("fitness", {"sampler": {"name": "json:JSONDecoder"}}, "is no BaseSampler of Optuna"),
        ("fitness", {"sampler": {"name": "json:dumps", "obj": 1}}, "is no BaseSampler of Optuna"),
        ("fitness", {"pruner": {"name": "math:pi"}}, "function or class of Python, got 3.14"),
        ("fitness", {"pruner": {"name": "hyperband", "min_resource": "x"}}, "be a whole number"),
        ("fitness", {"pruner": {"name": "hyperband", "max_resource": "x"}}, "pruner 'hyperband'"),
        ("fitness", {"pruner": {"name": "hyperband", "reduction_factor": 1}}, "does not work"),
        ("fitness", {"pruner": {"name": "flatness", "tolerance": math.inf}}, "a finite number"),
        ("fitness", {"space": {"name": "genome", "warmup_steps": ["a", "b"]}}, "a list of 2"),
        ("fitness", {"space": {"name": "genome", "max_terms": math.inf}}, "a finite number"),
        ("fitness", {"space": {"name": "genome", "max_terms": 10**9}}, "at most 1,000"),
        ("fitness", {"space": {"name": "genome", "clip_value": [-1, 2]}}, "cannot be used"),
        ("fitness", {"space": {"name": "genome", "trial": 1}}, "it is the trial"),
        ("fitness", {"space": {"name": "os:getcwd"}}, "function or class of Python"),
        ("fitness", {"space": {"name": "json:dumps"}}, "The space 'json:dumps' cannot be used"),
        ("accuracy", {"space": {"name": "cnn", "batch_size": [0, 8]}}, "batch sizes such as 0"),
        ("accuracy", {"space": {"name": "cnn", "epochs": [0, 1]}}, "epochs such as 0"),
        ("accuracy", {"space": {"lr": [1, 0]}}, "cannot be used"),
        ("accuracy", {"space": {"lr": [1e-3]}}, "`space.lr` must be a list of 2"),
        ("accuracy", {"space": {"lr": "fast"}}, "`space.lr` must be a list of 2"),
        ("fitness", {"trainer": {"steps": 10**23}}, "`trainer.steps` must be below 2\\*\\*63"),
        ("fitness", {"trainer": {"steps": 10**12}}, "at most 10,000,000"),
        ("accuracy", {"trainer": {"epochs": 1e300}}, "at most 100000"),
        ("accuracy", {"trainer": {"epochs": math.inf}}, "a finite number"),
        ("accuracy", {"objective": {"reports": 10**12}}, "at most 100,000"),
        ("fitness", {"objective": {"divergence_penalty": math.nan}}, "a finite number, got nan"),
        ("fitness", {"objective": {"divergence_penalty": -math.inf}}, "a finite number, got -inf"),
        ("fitness", {"objective": {"loss_weight": math.inf}}, "a finite number"),
        ("fitness", {"task": {"name": 1}}, "Unknown option 'name'"),
        ("table", {"task": {"name": 1}}, "Unknown option 'name'"),
        ("table", {"task": {"drop": 3}}, "`task.drop` .* go with own files"),
        ("fitness", {"tasks": ["builtins:print"]}, "must be a task or a function of Python"),
        ("fitness", {"tasks": ["n" * 5000]}, "A task must be one of"),
        ("fitness", {"tasks": ["n" * 5000 + ".py:f"]}, "Cannot import"),
        ("fitness", {"name": "n" * 600}, "at most 512 characters"),
        ("fitness", {"name": "a\0b"}, "zero byte"),
        ("fitness", {"name": "\udc80"}, "that UTF-8 can hold"),
    ],
)
def test_what_could_not_run_is_refused_when_the_study_is_made(
    base: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        checked(merged(base, changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("sampler", [GASampler, HybridSampler, RecurrenceSampler])
@pytest.mark.parametrize("size", [10**6, 2**40, 2**63, 10**400])
def test_a_population_that_fits_no_memory_is_refused_by_the_sampler_itself(
    sampler: Any, size: int
) -> None:
    with pytest.raises(ValueError, match="`population_size` must be at most 100,000"):
        sampler(population_size=size)


def test_a_large_seed_is_one_that_every_part_can_take() -> None:
    for base, sampler in (("fitness", "tpe"), ("table", "random"), ("fitness", "ga")):
        data = merged(base, {"seed": 2**40, "sampler": {"name": sampler}, "trainer": {}})
        data |= {} if base == "table" else {"trainer": {"steps": 2}, "judge": {"seeds": 0}}
        stored = create_study(StudySpec.from_dict(data), optuna.storages.InMemoryStorage())
        assert run_study(stored, device="cpu") == 2


@pytest.mark.parametrize("text", ["[" * 3000, "x = " + "[" * 3000, "a" + ".a" * 3000 + " = 1"])
def test_a_file_that_is_nested_too_deeply_is_refused_in_one_line(
    text: str, tmp_path: Path
) -> None:
    path = tmp_path / "deep.toml"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    assert "\n" not in str(caught.value)
    path.write_text('tasks = ["digits"]')
    with pytest.raises(SpecError, match="nested|Unknown"):
        load_spec(path, overrides=["task.x=" + "[" * 3000, "zz=1"])


def test_a_path_that_no_file_system_has_is_refused_in_one_line() -> None:
    with pytest.raises(SpecError, match="Cannot read the spec .*File name too long") as caught:
        load_spec("x" * 5000 + ".toml")
    assert len(str(caught.value)) < 500


def test_a_second_line_of_an_override_is_no_other_key(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text('tasks = ["digits"]')
    with pytest.raises(SpecError, match="`seed` must be of type int"):
        load_spec(path, overrides=["seed=1\nn_trials=3"])


# --- penalties that are no numbers -------------------------------------------------------------


@pytest.mark.parametrize("penalty", [math.nan, math.inf, -math.inf])
def test_an_objective_with_a_penalty_that_is_not_finite_never_starts(penalty: float) -> None:
    objective = FunctionObjective(lambda trial: math.nan)
    objective.penalty = penalty  # type: ignore[assignment]
    study = optuna.create_study()
    with pytest.raises(UsageError, match="penalty of an objective must be a finite number"):
        search(study, space=OpenTrial, objective=objective, n_trials=3)
    assert study.trials == []


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_is_not_finite_counts_as_diverged_and_the_search_ends(value: float) -> None:
    class Objective(FunctionObjective):
        def value(self, reported: Any) -> float:
            return value

    study = optuna.create_study()
    objective: Any = Objective(lambda trial: 1.0)
    objective.penalty = 7.0
    assert search(study, space=OpenTrial, objective=objective, n_trials=3) == 3
    assert [t.value for t in study.trials] == [7.0] * 3


# --- many ---------------------------------------------------------------------------------------


def test_a_spoilt_spec_is_accepted_or_refused_in_one_line() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    whole = [StudySpec.from_dict(data).to_dict() for data in BASES.values()]
    n_accepted = 0
    for data in mutations(3, 300, [*BASES.values(), *whole]):
        try:
            spec = checked(data)
        except OptunaEvoError as error:
            text = str(error)
            assert text and "\n" not in text and len(text) < 7000
        else:
            n_accepted += 1
            assert StudySpec.from_dict(json.loads(json.dumps(spec.to_dict()))).name == spec.name
    assert 0 < n_accepted < 200
