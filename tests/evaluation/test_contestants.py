"""Everybody who competes can be built and trained, at the ends of his space too."""

import dataclasses
import json
from pathlib import Path
import sys
from typing import Any

from optuna.distributions import FloatDistribution
import pytest

from optuna_evo import catalog
from optuna_evo import ControllerConfig
from optuna_evo import NamedOptimizer
from optuna_evo.config import GraftedOptimizer
from optuna_evo.config import optimizer_from_dict
from optuna_evo.config import optimizer_to_dict
from optuna_evo.errors import UsageError
from optuna_evo.evaluation import BASELINES
from optuna_evo.evaluation import contestant_of
from optuna_evo.evaluation import optimizer_of
from optuna_evo.evaluation import parse_workload
from optuna_evo.evaluation._contestant import given
from optuna_evo.evaluation._contestant import scheduled
from optuna_evo.evaluation._trainings import Course
from optuna_evo.evaluation._trainings import measure
from optuna_evo.rules import program


MOONS = parse_workload("two_moons", steps=4)
EXTRA = {"soap", "sophia", "schedulefree"}


@pytest.mark.parametrize("key", sorted(BASELINES))
def test_a_baseline_trains_at_its_defaults_and_at_the_ends_of_its_space(key: str) -> None:
    if key in EXTRA:
        pytest.importorskip("pytorch_optimizer")
    who = BASELINES[key]
    ends: list[dict[str, Any]] = [dict(who.defaults)]
    for end in ("low", "high"):
        space = who.space.items()
        ends.append({n: getattr(d, end) for n, d in space if isinstance(d, FloatDistribution)})
    for params in ends:
        assert params.keys() == who.space.keys()
        for granted in (True, False):
            optimizer = who.optimizer(params, MOONS, granted=granted)
            (found,) = measure([MOONS.config(optimizer)], MOONS, 0, Course())
            assert 0 < found.loss <= found.untrained


def test_defaults_are_in_the_space() -> None:
    for who in BASELINES.values():
        for name, each in who.space.items():
            assert isinstance(each, FloatDistribution)
            assert each.low <= who.defaults[name] <= each.high, (who.key, name)


def test_what_torch_has_is_torchs() -> None:
    found = {}
    for key, who in BASELINES.items():
        optimizer = who.optimizer(who.defaults, MOONS, granted=False)
        if isinstance(optimizer, NamedOptimizer):
            found[key] = [group.optimizer for group in optimizer.groups]
    assert found["adamw"] == ["AdamW"] and found["nadamw"] == ["NAdam"]
    assert found["muon"] == ["Muon", "AdamW"] and found["adafactor"] == ["Adafactor"]
    assert found["soap"] == ["pytorch_optimizer.SOAP"]
    nadamw = BASELINES["nadamw"].optimizer(BASELINES["nadamw"].defaults, MOONS, granted=False)
    assert isinstance(nadamw, NamedOptimizer)
    assert nadamw.groups[0].options["decoupled_weight_decay"]
    assert nadamw.groups[0].options["betas"] == pytest.approx((0.9, 0.999))


def test_muon_takes_hidden_matrices_only() -> None:
    who = BASELINES["muon"]
    optimizer = who.optimizer(who.defaults, MOONS, granted=False)
    assert isinstance(optimizer, NamedOptimizer)
    matrices = optimizer.groups[0]
    assert [
        n for n in ("0.weight", "2.weight", "5.weight", "0.bias") if matrices.matches(n, 2)
    ] == [
        "0.weight",
        "2.weight",
    ]
    with pytest.raises(UsageError, match="Muon trains hidden matrices"):
        who.optimizer(who.defaults, parse_workload("quadratic", steps=4), granted=False)


def test_schedules_are_granted_to_all_or_none() -> None:
    published = given("p", "p", catalog["published_2025"])
    for who in (published, BASELINES["adamw"], BASELINES["lion"], BASELINES["schedulefree"]):
        with_one = who.optimizer(who.start(granted=True), MOONS, granted=True)
        without: Any = who.optimizer(who.start(granted=False), MOONS, granted=False)
        assert with_one != without
        assert "schedule" not in who.tuned_space(granted=False)
        if isinstance(without, NamedOptimizer):
            assert not without.cosine and not without.warmup_steps
        else:
            assert not without.use_cosine_decay and not without.use_warmup


def test_what_is_given_is_untouched_in_the_first_trial() -> None:
    for optimizer in (
        catalog["published_2025"],
        NamedOptimizer.of("Adam"),
        ControllerConfig(controller="mlp"),
    ):
        who = given("x", "x", optimizer)
        assert who.optimizer(who.start(granted=True), MOONS, granted=True) == optimizer
    faster: Any = given("x", "x", NamedOptimizer.of("Adam")).build({"lr_factor": 3.0}, MOONS)
    assert faster.groups[0].options["lr"] == pytest.approx(3e-3)  # torch's default, 1e-3, thrice


def test_a_schedule_is_over_the_steps_of_the_workload() -> None:
    found: Any = scheduled(catalog["adam"], "cosine", 200)
    assert (found.warmup_steps, found.horizon, found.use_cosine_decay) == (10, 200, True)


def test_a_digest_tells_contestants_apart_and_stays() -> None:
    adamw = BASELINES["adamw"]
    digests = {who.digest(MOONS, granted=True) for who in BASELINES.values()}
    assert len(digests) == len(BASELINES)
    assert adamw.digest(MOONS, granted=True) != adamw.digest(MOONS, granted=False)
    wider = dataclasses.replace(adamw, space={**adamw.space, "lr": FloatDistribution(1e-5, 1)})
    assert wider.digest(MOONS, granted=True) != adamw.digest(MOONS, granted=True)


def test_exported_files_are_read_and_never_run(tmp_path: Path) -> None:
    genome = catalog["published_2025"]
    (tmp_path / "rule.py").write_text(program(genome))
    (tmp_path / "rule.json").write_text(json.dumps(genome.to_dict()))
    named = NamedOptimizer.of("SGD", lr=0.1)
    (tmp_path / "torch.json").write_text(json.dumps(optimizer_to_dict(named)))
    for name in ("rule.py", "rule.json"):
        assert optimizer_of(tmp_path / name).fingerprint() == genome.fingerprint()
    assert optimizer_of(str(tmp_path / "torch.json")) == named
    assert contestant_of(str(tmp_path / "rule.py")).key == "rule"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.py", "raise SystemExit('run')"),
        ("a.json", "[1]"),
        ("a.json", '{"terms": 3}'),
        ("a.json", "{"),
        ("a.json", "[" * 100_000),
        ("a.json", '{"controller": {"controller": "../../nowhere"}}'),
        ("a.py", "\0"),
    ],
)
def test_files_that_are_not_ours_are_one_line(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match="is no optimizer of ours") as caught:
        optimizer_of(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_unknown_names_are_one_line_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="did you mean 'adamw'"):
        contestant_of("adanw")
    with pytest.raises(UsageError, match="Cannot read nowhere.json"):
        contestant_of("nowhere.json")
    with pytest.raises(UsageError, match="nothing to judge called 'nobody'"):
        optimizer_of("nobody")
    monkeypatch.setitem(sys.modules, "pytorch_optimizer", None)
    from optuna_evo.evaluation._judge import _check_built

    soap = BASELINES["soap"].optimizer(BASELINES["soap"].defaults, MOONS, granted=False)
    with pytest.raises(UsageError, match=r"pip install 'optuna-evo\[judge\]'"):
        _check_built(soap, MOONS)


def test_a_grafted_optimizer_survives_json() -> None:
    pair = GraftedOptimizer(direction=catalog["lion"], magnitude=NamedOptimizer.of("AdamW"))
    assert optimizer_from_dict(optimizer_to_dict(pair)) == pair
    assert "step sizes of" in pair.equation() and pair.fingerprint().startswith("grafted-")
    with pytest.raises(UsageError, match="no two optimizers"):
        GraftedOptimizer.from_dict({"direction": {"genome": catalog["lion"].to_dict()}})
