"""What every kind of objective does, ours and a user's own."""

from collections.abc import Sequence
import itertools
import json
import math
from pathlib import Path
import subprocess
import sys
from typing import Any

import optuna
import pytest

from optuna_evo.errors import SpecError
from optuna_evo.objectives import kind_of
from optuna_evo.objectives import OBJECTIVES
from optuna_evo.spec import StudySpec
from optuna_evo.study import build_objective
from optuna_evo.study import build_space
from optuna_evo.study import check_parts
from optuna_evo.study import create_study
from optuna_evo.study import resolve_spec
from optuna_evo.study import run_study


MOONS: dict[str, Any] = {"tasks": ["two_moons"], "trainer": {"steps": 6}}
SPECS: dict[str, dict[str, Any]] = {
    "fitness": {**MOONS, "objective": {"name": "fitness", "seeds": 2}},
    "accuracy": {**MOONS, "objective": {"name": "accuracy", "reports": 3}},
    "area": {**MOONS, "objective": {"name": "area", "reports": 3}},
    "segment": {
        **MOONS,
        "objective": {"name": "segment", "reports": 2},
        "space": {"name": "language_model", "dropout": []},
        "sampler": {"name": "recurrence", "population_size": 2},
    },
    "table": {
        "tasks": ["wine"],
        "objective": {"name": "table", "reports": 3},
        "space": {"name": "estimator", "estimators": "linear"},
        "sampler": {"name": "random"},
    },
    "meta_loss": {
        "tasks": ["quadratics"],
        "task": {"size": 4},
        "direction": "minimize",
        "trainer": {"steps": 10},
        "objective": {"name": "meta_loss", "reports": 2, "budget": 400, "held_out": 4},
        "space": {"name": "learned_optimizer", "kinds": ["mlp", "memory"], "truncation": [5, 10]},
        "sampler": {"name": "random"},
    },
    "own": {
        "objective": {"name": f"{__name__}:slope"},
        "space": {"name": f"{__name__}:space"},
        "sampler": {"name": "random"},
    },
    "function": {
        "objective": {"name": f"{__name__}:function"},
        "sampler": {"name": "random"},
    },
}
BATCHES = [kind for kind in SPECS if kind != "function"]  # a function runs one trial at a time


class Number:
    """What `space` makes of a trial."""

    def __init__(self, x: float) -> None:
        self.x = x

    def fingerprint(self) -> str:
        return f"{self.x}"


def space(trial: optuna.trial.BaseTrial) -> Number:
    return Number(trial.suggest_float("x", 0, 1))


class SlopeRun:
    def __init__(self, numbers: Sequence[Number]) -> None:
        self.numbers, self.step = list(numbers), 0

    def advance(self) -> list[float]:
        self.step += 1
        return [number.x * self.step for number in self.numbers]

    def drop(self, alive: Sequence[bool]) -> None:
        self.numbers = list(itertools.compress(self.numbers, alive))

    def records(self) -> list[dict[str, float]]:
        return [{"x_seen": number.x} for number in self.numbers]


class Slope:
    n_reports, penalty = 3, -1.0

    def start(self, configs: Sequence[Number], *, repetition: int = 0) -> SlopeRun:
        return SlopeRun(configs)

    def value(self, reported: Sequence[float]) -> float:
        return reported[-1]

    def test(self, config: Number) -> dict[str, float]:
        return {"x": config.x, "more": 2.0}


slope = Slope()


def function(trial: optuna.Trial) -> float:
    return trial.suggest_float("x", 0, 1)


def spec_of(kind: str, **changes: Any) -> StudySpec:
    data = {"name": kind, "n_trials": 3, "judge": {"seeds": 0}, **SPECS[kind], **changes}
    return resolve_spec(StudySpec.from_dict(data))


def configs_of(spec: StudySpec, n: int) -> list[Any]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    return [build_space(spec)(study.ask()) for _ in range(n)]


def test_every_kind_that_is_registered_is_tested_here() -> None:
    assert set(OBJECTIVES) <= set(SPECS)


@pytest.mark.parametrize("kind", SPECS)
def test_a_sound_spec_passes_and_a_study_of_it_runs(kind: str) -> None:
    spec = spec_of(kind)
    check_parts(spec)
    assert resolve_spec(spec) == spec
    stored = create_study(spec, optuna.storages.InMemoryStorage())
    if kind_of(spec).has_lineages:
        pytest.skip("lineages need a place for checkpoints: see tests/search/test_lineage.py")
    assert run_study(stored, device="cpu") == 3
    for trial in stored.study.get_trials():
        assert trial.value is not None and math.isfinite(trial.value)


@pytest.mark.parametrize("kind", SPECS)
def test_a_run_reports_as_often_as_it_says_and_records_each_member(kind: str) -> None:
    spec = spec_of(kind)
    objective = build_objective(spec, device="cpu")
    n = 1 if kind == "function" else 2
    run = objective.start(configs_of(spec, n), repetition=0)
    reported = [run.advance() for _ in range(max(1, objective.n_reports))]
    assert all(len(values) == n for values in reported)
    assert len(run.records()) == n
    for values in zip(*reported, strict=True):
        assert math.isfinite(objective.value(values))


@pytest.mark.parametrize("kind", BATCHES)
def test_a_member_goes_on_alike_when_another_is_dropped(kind: str) -> None:
    spec = spec_of(kind)
    objective = build_objective(spec, device="cpu")
    first, second = configs_of(spec, 2)
    both = objective.start([first, second], repetition=0)
    alone = objective.start([second], repetition=0)
    before = both.advance()[1], alone.advance()[0]
    both.drop([False, True])
    assert before[0] == pytest.approx(before[1], abs=1e-6)
    (mine,), (theirs,) = both.advance(), alone.advance()
    assert mine == pytest.approx(theirs, abs=1e-6)
    assert len(both.records()) == 1


@pytest.mark.parametrize("kind", sorted(OBJECTIVES))
def test_another_repetition_uses_other_seeds(kind: str) -> None:
    spec = spec_of(kind)
    objective = build_objective(spec, device="cpu")
    config = configs_of(spec, 1)

    def train(repetition: int) -> dict[str, Any]:
        run = objective.start(config, repetition=repetition)
        values = [run.advance()[0] for _ in range(objective.n_reports)]
        (record,) = run.records()
        return {"values": values, **{k: v for k, v in record.items() if k != "seconds"}}

    assert train(0) == train(0) != train(1)


@pytest.mark.parametrize("kind", SPECS)
def test_what_is_known_of_its_tasks_are_numbers(kind: str) -> None:
    spec = spec_of(kind)
    features = kind_of(spec).describe(build_objective(spec, device="cpu"))
    assert all(math.isfinite(value) for value in features.values())
    assert bool(features) == (kind not in ("own", "function"))


@pytest.mark.parametrize("kind", SPECS)
def test_showing_a_study_needs_neither_torch_nor_the_objective(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(spec_of(kind).to_dict()))
    code = (
        "import json, sys\n"
        "from optuna_evo.objectives import check_spec, kind_of\n"
        "from optuna_evo.spec import StudySpec\n"
        f"spec = StudySpec.from_dict(json.load(open({str(path)!r})))\n"
        "kind = kind_of(spec)\n"
        "kind.own_space(spec), kind.has_final(spec), check_spec(spec)\n"
        "assert not {'torch', 'tests.objectives.test_contract'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("fitness", {"tasks": []}, "`tasks` must name at least one task"),
        ("accuracy", {"tasks": []}, "`tasks` must name at least one task"),
        ("accuracy", {"tasks": ["two_moons", "digits"]}, "'accuracy' trains on one task, got 2"),
        (
            "fitness",
            {"trainer": {"early_stopping": {"patience": 1}}},
            '`trainer.early_stopping` goes with objective.name = "accuracy"',
        ),
        (
            "fitness",
            {"objective": {"metric": "f1"}},
            '`objective.metric` goes with objective.name = "accuracy" or ',
        ),
        ("table", {"final": {"epochs": 2}}, '`final.epochs` goes with objective.name = "accur'),
        (
            "accuracy",
            {"trainer": {"precision": "float16"}},
            '`trainer.precision` "float16" goes with objective.name = "segment"',
        ),
        ("function", {"tasks": ["two_moons"]}, "takes no tasks, got two_moons: leave out `tasks`"),
        ("function", {"batch_size": 4}, "one trial at a time: batch_size must be 1, got 4"),
    ],
)
def test_a_spec_that_does_not_fit_is_one_line(
    kind: str, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        check_parts(spec_of(kind, **change))


def test_an_unknown_kind_is_named_with_those_there_are() -> None:
    with pytest.raises(SpecError, match="one of fitness, accuracy, .* got 'speed'"):
        resolve_spec(StudySpec.from_dict({"name": "s", "objective": {"name": "speed"}}))


def test_an_own_objective_may_end_with_a_test_of_its_own() -> None:
    spec = spec_of("own", final={"epochs": 1})
    kind = kind_of(spec)
    assert kind.has_final(spec) and not kind.has_final(spec_of("own"))
    result = kind.final(spec, slope, Number(0.25))
    assert (result.metric, result.metrics) == (0.25, {"x": 0.25, "more": 2.0})
