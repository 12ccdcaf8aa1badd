"""Specs of meta-trainings: read from TOML, written back, refused in one line."""

from pathlib import Path
from typing import Any

import pytest

from optuna_evo.errors import SpecError
from optuna_evo.errors import UsageError
from optuna_evo.meta_training import load_meta_spec
from optuna_evo.meta_training import MetaSpec
from optuna_evo.meta_training import MetaTraining
from optuna_evo.rules import Genome
from tests.meta_training.small import small_spec


STUDIES = Path(__file__).parents[2] / "studies"
SHIPPED = STUDIES / "learned_optimizer.toml"


def test_the_spec_that_ships_is_named_like_its_file_and_can_be_built() -> None:
    spec = load_meta_spec(SHIPPED, overrides=["outer.pairs=2", "selection.tasks=2"])
    assert spec.name == SHIPPED.stem
    genome = Genome.from_dict(spec.controller_settings()["genome"])
    assert genome.lr == 0.064 and genome.use_cosine_decay
    assert MetaTraining(spec).number == 0


@pytest.mark.parametrize(
    "path", sorted((STUDIES / "controllers").glob("*.toml")), ids=lambda p: p.stem
)
def test_the_specs_of_kinds_are_named_like_their_files(path: Path) -> None:
    spec = load_meta_spec(path)
    assert spec.name == spec.controller.name == path.stem
    assert spec.controller_settings()["genome"]["lr"] > 0


def test_a_spec_is_written_so_that_it_reads_the_same() -> None:
    spec = small_spec(
        families=[{"name": "quadratics", "size": 3, "weight": 2, "reparametrise": {"low": 0.5}}]
    )
    again = MetaSpec.from_dict(spec.to_dict())
    assert again == spec and again.fingerprint() == spec.fingerprint()
    assert again.fingerprint() != small_spec(seed=1).fingerprint()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"families": []}, "needs a family"),
        ({"families": [{"size": 3}]}, "needs a name"),
        ({"families": [{"name": "quadratics", "weight": 0}]}, "must be greater than 0"),
        ({"families": [{"name": "quadratics", "reparametrise": 3}]}, "must be a table"),
        ({"outer": {"estimator": "guess"}}, "must be one of pes, full_es"),
        ({"outer": {"pairs": 5}}, "must divide"),
        ({"outer": {"lr": 0.0}}, "greater than 0"),
        ({"outer": {"step": 3}}, "Unknown key"),
        ({"horizon": {"low": 2, "high": 16}}, r"at least outer\.truncation"),
        ({"horizon": {"low": 9, "high": 8}}, "1 <= low <= high"),
        ({"meta_loss": {"split": "test"}}, "valid or train"),
        ({"meta_loss": {"late": -1.0}}, "must be in"),
        ({"selection": {"every": 0}}, "at least 1"),
        ({"seed": -1}, "`seed`"),
        ({"controller": {"hidden_size": 4}}, "needs a name"),
    ],
)
def test_a_wrong_spec_is_refused_in_one_line(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        small_spec(**changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"families": [{"name": "mnist"}]}, "no task family 'mnist'"),
        ({"families": [{"name": "quadratics", "sizes": 3}]}, "sizes"),
        ({"controller": {"name": "oracle"}}, "oracle"),
        ({"controller": {"name": "mlp", "genome": "adam2"}}, "must be one of"),
        ({"controller": {"name": "mlp", "genome": {"name": "adam", "rate": 1}}}, "rate"),
        ({"controller": {"name": "mlp", "hidden_size": "big"}}, "settings"),
    ],
)
def test_a_part_that_does_not_exist_is_refused_in_one_line(
    changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        MetaTraining(small_spec(**changes))
    assert "\n" not in str(caught.value)


def test_unreadable_and_invalid_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"Cannot read the spec .*nope\.toml"):
        load_meta_spec(tmp_path / "nope.toml")
    (tmp_path / "bad.toml").write_text("families = [")
    with pytest.raises(SpecError, match="not valid TOML"):
        load_meta_spec(tmp_path / "bad.toml")
