from pathlib import Path
import tomllib

import pytest

from optuna_evo.errors import PluginError
from optuna_evo.errors import SpecError
from optuna_evo.plugins import load_attribute
from optuna_evo.spec import load_spec
from optuna_evo.spec import Part
from optuna_evo.spec import StudySpec


MINIMAL = {"name": "s", "tasks": ["digits"]}


def write(folder: Path, text: str) -> Path:
    path = folder / "my_study.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_minimal_spec_gets_every_default() -> None:
    spec = StudySpec.from_dict(MINIMAL)
    assert (spec.n_trials, spec.direction, spec.trainer.steps) == (100, "maximize", 500)
    assert spec.sampler == Part(name="ga")
    assert spec.objective.loss_weight == 0.05


def test_the_stored_form_reads_back_equal() -> None:
    data = MINIMAL | {"sampler": {"name": "ga", "population_size": 7}, "trainer": {"steps": 3}}
    spec = StudySpec.from_dict(data)
    assert StudySpec.from_dict(spec.to_dict()) == spec
    assert spec.sampler.options == {"population_size": 7}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trials": 3}, "Unknown key 'trials'; allowed: name, tasks, n_trials"),
        ({"trainer": {"step": 3}}, r"Unknown key 'step' in \[trainer\]; allowed: steps"),
        ({"trainer": {"steps": "many"}}, "`trainer.steps` must be of type int, got 'many'"),
        ({"trainer": {"steps": True}}, "`trainer.steps` must be of type int, got True"),
        ({"trainer": {"steps": 0}}, "`trainer.steps` must be at least 1, got 0"),
        (
            {"trainer": {"precision": "half"}},
            "must be one of auto, float32, bfloat16, float16; got 'half'",
        ),
        ({"trainer": 3}, "`trainer` must be a table, got 3"),
        ({"objective": {"seeds": 0}}, "`objective.seeds` must be at least 1"),
        ({"objective": {"loss_weight": -1}}, "`objective.loss_weight` must be at least 0"),
        ({"objective": {"loss_window": 0}}, "`objective.loss_window` must be at least 1"),
        ({"judge": {"seeds": -1}}, "`judge.seeds` must be at least 0"),
        ({"judge": {"tuning_trials": 0}}, "`judge.tuning_trials` must be at least 1"),
        ({"trainer": {"early_stopping": {"patience": 0}}}, "patience` must be at least 1, got 0"),
        ({"trainer": {"early_stopping": {"wait": 1}}}, r"'wait' in \[trainer.early_stopping\]"),
        ({"direction": "up"}, "`direction` must be one of maximize, minimize; got 'up'"),
        ({"n_trials": 0}, "`n_trials` must be at least 1, got 0"),
        ({"seed": -1}, "`seed` must be at least 0, got -1"),
        ({"batch_size": 0}, "`batch_size` must be at least 1, got 0"),
        ({"tasks": "digits"}, "`tasks` must be a list, got 'digits'"),
        ({"task": "tiny"}, "`task` must be a table, got 'tiny'"),
        ({"name": " "}, "`name` must not be empty"),
        ({"sampler": {"population_size": 3}}, "`sampler` needs a name"),
    ],
)
def test_a_wrong_spec_says_what_is_allowed(change: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        StudySpec.from_dict(MINIMAL | change)


def test_a_spec_without_a_name_says_so() -> None:
    with pytest.raises(SpecError, match="lacks 'name'"):
        StudySpec.from_dict({"tasks": ["digits"]})


def test_a_file_without_a_name_is_called_like_the_file(tmp_path: Path) -> None:
    assert load_spec(write(tmp_path, 'tasks = ["digits"]')).name == "my_study"


def test_overrides_are_typed_like_toml_and_reach_into_tables(tmp_path: Path) -> None:
    path = write(tmp_path, 'tasks = ["digits"]\n[trainer]\nsteps = 5')
    overrides = [
        "trainer.steps=9",
        'tasks=["mnist"]',
        "sampler.name=random",
        "objective.seeds = 1",
    ]
    spec = load_spec(path, overrides=overrides)
    assert (spec.trainer.steps, spec.tasks, spec.objective.seeds) == (9, ("mnist",), 1)
    assert spec.sampler.name == "random"


def test_options_of_the_task_are_read_and_overridden(tmp_path: Path) -> None:
    path = write(tmp_path, 'tasks = ["imdb"]\ntask = { size = "tiny" }')
    assert load_spec(path, overrides=["task.size=mini"]).task == {"size": "mini"}


@pytest.mark.parametrize("override", ["trainer.steps", "=3", "trainer.=3", "tasks.a=3"])
def test_a_malformed_override_is_refused(tmp_path: Path, override: str) -> None:
    with pytest.raises(SpecError, match="--set"):
        load_spec(write(tmp_path, 'tasks = ["digits"]'), overrides=[override])


def test_unreadable_and_invalid_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"Cannot read the spec .*nope\.toml: No such file"):
        load_spec(tmp_path / "nope.toml")
    with pytest.raises(SpecError, match="is not valid TOML"):
        load_spec(write(tmp_path, "tasks = ["))


@pytest.mark.parametrize(
    "path",
    # what makes a controller is no study: tests/meta_training/test_spec.py
    sorted(
        path
        for path in (Path(__file__).parents[2] / "studies").glob("*.toml")
        if "controller" not in tomllib.loads(path.read_text())
    ),
    ids=lambda p: p.stem,
)
def test_the_studies_that_ship_are_named_like_their_files(path: Path) -> None:
    assert load_spec(path).name == path.stem
    assert tomllib.loads(path.read_text())["tasks"]


def test_own_parts_load_by_module_and_attribute() -> None:
    assert load_attribute("os.path:join")("a", "b") == "a/b"
    assert load_attribute("builtins:dict.fromkeys")("a") == {"a": None}


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("math", "\"module:attribute\", got 'math'"),
        ("no_such_module:x", "Cannot import module 'no_such_module'"),
        ("math:nope", "Module 'math' has no attribute 'nope'"),
    ],
)
def test_own_parts_that_cannot_be_loaded_are_named(path: str, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        load_attribute(path)
