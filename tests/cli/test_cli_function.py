"""`study run FILE.py:FUNCTION`: scripts written for Optuna, as they are."""

import json
import math
from pathlib import Path
import shutil
import signal
import sys
from typing import Any

import optuna
from optuna.trial import FrozenTrial
from optuna.trial import TrialState
import pytest

from optuna_evo.attributes import DIVERGED
from optuna_evo.attributes import ERROR
from optuna_evo.attributes import PROPOSED_BY
from tests.cli.test_cli import call
from tests.cli.test_cli import run
from tests.cli.test_cli import start
from tests.cli.test_cli import wait_for_trials


EXAMPLES = Path(__file__).parents[1] / "assets" / "optuna_examples"
OURS = ["ga", "hybrid", "thompson", "recurrence", "meta"]
SMALL = ("--set", "sampler.population_size=4")
OPTIONS = {"ga": SMALL, "hybrid": SMALL, "recurrence": SMALL, "thompson": (), "meta": ()}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for path in EXAMPLES.glob("*.py"):
        shutil.copy(path, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPTUNA_EVO_STORAGE", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def trials(name: str, database: str = "optuna_evo.db") -> list[FrozenTrial]:
    study = optuna.load_study(study_name=name, storage=f"sqlite:///{database}")
    return study.get_trials()


def finished(name: str, database: str = "optuna_evo.db") -> list[tuple[Any, ...]]:
    """Return what is to be the same, however often a study was stopped."""
    return [
        (t.params, t.state, t.value, t.intermediate_values)
        for t in trials(name, database)
        if t.state in (TrialState.COMPLETE, TrialState.PRUNED)
    ]


def sampler_options(sampler: str) -> list[str]:
    sources = ["--warm-start", "old"] if sampler == "meta" else []
    return ["--sampler", sampler, *OPTIONS[sampler], *sources]


def make_source(capsys: pytest.CaptureFixture[str], script: str, *more: str) -> None:
    for database in ("parts.db", "whole.db"):
        old = ("--name", "old", "--trials", "6", "--sampler", "random", *more)
        storage = ("--storage", f"sqlite:///{database}")
        assert call(capsys, "study", "run", script, *old, *storage)[0] == 0


def test_a_script_runs_and_is_shown_without_genomes(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ("study", "run", "quadratic.py:objective", "--trials", "12", "--sampler", "tpe")
    code, out, err = call(capsys, *args)
    assert code == 0 and " done, best " in err.splitlines()[-1]
    assert "quadratic/objective (minimize): 12 complete" in out and "best: trial" in out
    assert call(capsys, *args)[1] == out  # there is nothing left to do
    assert "quadratic/objective" in call(capsys, "study", "list")[1]
    assert call(capsys, "study", "show", "quadratic/objective")[1] == out
    best = json.loads(call(capsys, "study", "export", "quadratic/objective")[1])
    assert set(best) == {"x", "y"}
    code, out, _ = call(capsys, "study", "report", "quadratic/objective")
    assert code == 0 and (folder / "quadratic_objective.html").stat().st_size > 10_000


def test_a_script_that_prunes_is_pruned(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ("--direction", "maximize", "--trials", "12", "--sampler", "ga", *SMALL)
    assert call(capsys, "study", "run", "sklearn_pruning.py:objective", *args)[0] == 0
    found = trials("sklearn_pruning/objective")
    pruned = [t for t in found if t.state == TrialState.PRUNED]
    assert pruned and all(len(t.intermediate_values) < 20 for t in pruned)
    assert set(found[0].intermediate_values) == set(range(20))  # the steps that it reported


def test_a_conditional_space_is_searched(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ("--direction", "maximize", "--trials", "10", *SMALL)
    assert call(capsys, "study", "run", "sklearn_models.py:objective", *args)[0] == 0
    kinds = {frozenset(t.params) for t in trials("sklearn_models/objective")}
    assert kinds <= {
        frozenset({"classifier", "svc_c"}),
        frozenset({"classifier", "rf_max_depth"}),
    }


@pytest.mark.parametrize("sampler", OURS)
def test_a_study_in_parts_has_the_trials_of_one_in_one_go(
    folder: Path, capsys: pytest.CaptureFixture[str], sampler: str
) -> None:
    target = "quadratic.py:objective"
    if sampler == "meta":
        make_source(capsys, target)
    options = sampler_options(sampler)
    whole, parts = (("--storage", f"sqlite:///{db}.db") for db in ("whole", "parts"))
    assert call(capsys, "study", "run", target, "--trials", "10", *options, *whole)[0] == 0
    for n in ("3", "8", "10"):
        assert call(capsys, "study", "run", target, "--trials", n, *options, *parts)[0] == 0
    name = "quadratic/objective"
    assert finished(name, "parts.db") == finished(name, "whole.db")
    assert len(finished(name, "parts.db")) == 10


@pytest.mark.slow
@pytest.mark.parametrize("script", ["sklearn_pruning", "sklearn_models"])
@pytest.mark.parametrize("sampler", OURS)
def test_a_killed_study_goes_on_to_the_trials_of_one_never_killed(
    folder: Path, capsys: pytest.CaptureFixture[str], sampler: str, script: str
) -> None:
    name, target = f"{script}/objective", f"{script}.py:objective"
    if sampler == "meta":
        make_source(capsys, target, "--direction", "maximize")
    args = ("study", "run", target, "--direction", "maximize", "--trials", "16")
    args = (*args, *sampler_options(sampler))
    run(folder, *args, "--storage", "sqlite:///whole.db")
    before = 6 if sampler == "meta" else 0  # trials of the source
    for n in (3, 9):
        worker = start(folder, *args, "--storage", "sqlite:///parts.db")
        wait_for_trials(folder / "parts.db", before + n, worker)
        worker.send_signal(signal.SIGKILL)
        assert worker.wait() == -signal.SIGKILL
    run(folder, "study", "run", name, "--storage", "sqlite:///parts.db")
    assert finished(name, "parts.db") == finished(name, "whole.db")
    states = [t.state for t in trials(name, "parts.db")]
    assert states.count(TrialState.FAIL) <= 2 and states.count(TrialState.RUNNING) == 0


def test_a_spec_file_may_name_a_function(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "spec.toml").write_text(
        'name = "mine"\nn_trials = 5\ndirection = "minimize"\n'
        'objective = { name = "quadratic.py:objective" }\nsampler = { name = "random" }\n'
    )
    code, out, _ = call(capsys, "study", "run", "spec.toml", "--seed", "3", "--pruner", "none")
    assert code == 0 and "mine (minimize): 5 complete" in out
    args = ("--name", "other", "--sampler", "random", "--seed", "3", "--trials", "5")
    assert call(capsys, "study", "run", "quadratic.py:objective", *args)[0] == 0
    assert finished("mine") == finished("other")


def test_samplers_are_compared_on_a_function(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "spec.toml").write_text(
        'n_trials = 3\ndirection = "minimize"\nobjective = { name = "quadratic.py:objective" }\n'
    )
    args = ("spec.toml", "--samplers", "random,ga", "--seeds", "2")
    code, out, _ = call(capsys, "study", "compare-samplers", *args)
    assert code == 0 and "2 samplers on quadratic.py:objective, 3 trials" in out
    assert len(finished("spec/ga/1")) == 3


def test_more_trials_extend_a_study_and_other_options_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = ("study", "run", "quadratic.py:objective")
    assert call(capsys, *target, "--trials", "3", "--sampler", "ga", *SMALL)[0] == 0
    assert call(capsys, *target, "--trials", "5")[0] == 0
    assert len(trials("quadratic/objective")) == 5
    code, _, err = call(capsys, *target, "--seed", "4")
    assert code == 1 and "made from another spec: seed was 0, now 4" in err
    code, _, err = call(capsys, *target, "--sampler", "tpe", "--trials", "9")
    assert code == 1 and "sampler.name was" in err and "n_trials was" in err
    assert len(trials("quadratic/objective")) == 5


def test_a_study_starts_from_what_another_script_found(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "shifted.py").write_text(
        (folder / "quadratic.py").read_text().replace("x**2", "(x - 1)**2")
    )
    target = ("study", "run", "quadratic.py:objective", "--trials", "8", "--sampler", "random")
    assert call(capsys, *target)[0] == 0
    warm = ("study", "run", "shifted.py:objective", "--warm-start", "quadratic/objective")
    code, out, _ = call(capsys, *warm, "--trials", "3")
    assert code == 0 and "Starts from quadratic/objective" in out
    (first, *_) = trials("shifted/objective")
    assert PROPOSED_BY.read(first.user_attrs) == "portfolio"
    best = min(trials("quadratic/objective"), key=lambda t: t.value or math.inf)
    assert first.params == best.params
    assert "portfolio" in call(capsys, "study", "sources", "shifted/objective")[1]
    again = (*target[:3], "--name", "again", "--warm-start", "auto", "--trials", "2")
    code, out, _ = call(capsys, *again)  # of the same function, and of no other
    assert code == 0 and "Starts from quadratic/objective" in out and "shifted" not in out


OWN = """
import helper_beside


def raises_sometimes(trial):
    x = trial.suggest_float("x", 0, 1)
    if trial.number in (1, 3):
        raise RuntimeError("out of luck")
    return x


def raises(trial):
    trial.suggest_float("x", 0, 1)
    return helper_beside.divide(1, 0)


def not_finite(trial):
    return float("nan") if trial.number == 1 else trial.suggest_float("x", 0, 1)


def nothing(trial):
    trial.suggest_float("x", 0, 1)


def text(trial):
    return "0.5"


def several(trial):
    return 1.0, 2.0


def two_kinds(trial):
    trial.suggest_float("x", 0, 1)
    return trial.suggest_int("x", 0, 1)


class Objective:
    def __call__(self, trial):
        return trial.suggest_float("x", 0, 1)


NUMBER = 3
made = Objective()

if __name__ == "__main__":
    raise SystemExit("this is not to run")
"""


@pytest.fixture
def own(folder: Path) -> Path:
    (folder / "own_functions.py").write_text(OWN)
    (folder / "helper_beside.py").write_text("def divide(a, b):\n    return a / b\n")
    (folder / "broken.py").write_text("import math\nimport no_such_package\n")
    (folder / "no_python.py").write_text("x = 1\ndef f(:\n")
    (folder / "leaves.py").write_text("import sys\nsys.exit(3)\n")
    return folder


@pytest.mark.parametrize(
    ("target", "code", "message"),
    [
        ("gone.py:objective", 2, "There is no file gone.py in "),
        ("broken.py:f", 2, "Cannot import broken.py: line 2: ModuleNotFoundError: No module"),
        ("no_python.py:f", 2, "Cannot import no_python.py: line 2 "),
        ("leaves.py:f", 2, "Cannot import leaves.py: line 2: SystemExit: 3"),
        (
            "own_functions.py",
            2,
            "Name a function in own_functions.py, such as own_functions.py:ra",
        ),
        ("own_functions.py:nope", 2, "no attribute 'nope'; its functions are: raises_sometimes, "),
        ("own_functions.py:NUMBER", 2, "is neither a function of a trial nor an objective"),
        ("own_functions.py:Objective", 2, "is a class: make an object of it in the file"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line_and_leaves_nothing(
    own: Path, capsys: pytest.CaptureFixture[str], target: str, code: int, message: str
) -> None:
    got, _, err = call(capsys, "study", "run", target)
    assert (got, len(err.splitlines())) == (code, 1) and message in err
    assert not (own / "optuna_evo.db").exists()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("raises", "own_functions.py, line 14: ZeroDivisionError: division by zero"),
        ("nothing", "line 21: nothing returned None (is a `return` missing?); return a number"),
        ("text", "line 25: text returned '0.5'; return a number"),
        ("several", "line 29: several returned 2 values; studies here have one direction"),
        ("two_kinds", "line 35: ValueError: Cannot set different distribution kind"),
    ],
)
def test_a_function_that_fails_ends_the_search_at_the_third_time(
    own: Path, capsys: pytest.CaptureFixture[str], function: str, message: str
) -> None:
    code, _, err = call(capsys, "study", "run", f"own_functions.py:{function}")
    assert (code, len(err.splitlines())) == (1, 1)
    assert err.startswith("Error: 3 trials in a row failed; the last one: own_functions.py, line ")
    assert message in err
    found = trials(f"own_functions/{function}")
    assert [t.state for t in found] == [TrialState.FAIL] * 3
    assert all(message in ERROR.read(t.user_attrs) for t in found)
    assert "failed last: trial 2" in call(capsys, "study", "show", f"own_functions/{function}")[1]


def test_a_function_that_fails_now_and_then_does_not_end_the_search(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ("study", "run", "own_functions.py:raises_sometimes", "--trials", "4")
    code, out, err = call(capsys, *args)
    assert code == 0 and " done, best " in err.splitlines()[-1] and "4 complete, 2 fail" in out
    failed = [t for t in trials("own_functions/raises_sometimes") if t.state == TrialState.FAIL]
    said = "own_functions.py, line 8: RuntimeError: out of luck"
    assert [ERROR.read(t.user_attrs) for t in failed] == [said] * 2
    assert said in out


def test_a_value_that_is_not_finite_is_pruned(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(capsys, "study", "run", "own_functions.py:not_finite", "--trials", "3")[0] == 0
    found = trials("own_functions/not_finite")
    assert [t.state.name for t in found] == ["COMPLETE", "PRUNED", "COMPLETE"]
    assert [DIVERGED.is_in(t.user_attrs) for t in found] == [False, True, False]


def test_an_object_that_is_called_is_a_function(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = call(capsys, "study", "run", "own_functions.py:made", "--trials", "2")
    assert code == 0 and "own_functions/made (minimize): 2 complete" in out


def test_a_stored_study_says_what_became_of_its_function(
    own: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = ("--storage", f"sqlite:///{own / 'optuna_evo.db'}")
    assert call(capsys, "study", "run", "own_functions.py:made", "--trials", "2", *storage)[0] == 0
    name = "own_functions/made"
    (own / "elsewhere").mkdir()
    monkeypatch.chdir(own / "elsewhere")
    code, _, err = call(capsys, "study", "run", name, *storage)
    assert code == 2 and "There is no file own_functions.py in" in err
    assert call(capsys, "study", "show", name, *storage)[0] == 0  # that needs no file
    monkeypatch.chdir(own)
    (own / "own_functions.py").write_text("def renamed(trial):\n    return 1.0\n")
    sys.modules.pop("own_functions")
    code, _, err = call(capsys, "study", "run", name, *storage)
    assert code == 2 and "no attribute 'made'; its functions are: renamed" in err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--direction", "minimize", "--direction", "maximize"], "a study here has one direction"),
        (["--sampler", "genetic"], "Unknown sampler 'genetic'; there are: ga, "),
        (["--pruner", "harsh"], "Unknown pruner 'harsh'; there are: none, "),
        (["--seed", "-1"], "-1 is not in the range x>=0"),
        (["--set", "space.name=genome", "--set", "space.max_terms=2"], "leave out `space`"),
        (["--set", "batch_size=2"], "runs one trial at a time: batch_size must be 1, got 2"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], args: list[str], message: str
) -> None:
    code, _, err = call(capsys, "study", "run", "quadratic.py:objective", *args)
    assert code == 2 and message in err and not (folder / "optuna_evo.db").exists()


@pytest.mark.parametrize("option", ["--seed", "--sampler", "--warm-start", "--set", "--name"])
def test_a_stored_study_takes_no_other_definition(
    folder: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    assert call(capsys, "study", "run", "quadratic.py:objective", "--trials", "1")[0] == 0
    value = "a=1" if option == "--set" else "1"
    code, _, err = call(capsys, "study", "run", "quadratic/objective", option, value)
    assert code == 2 and f"{option} goes with a SPEC file or a FILE.py:FUNCTION" in err


def test_own_samplers_and_pruners_are_named_like_own_functions(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ("--sampler", "optuna.samplers:RandomSampler", "--pruner", "optuna.pruners:NopPruner")
    target = ("study", "run", "quadratic.py:objective", "--trials", "2")
    assert call(capsys, *target, *args)[0] == 0
