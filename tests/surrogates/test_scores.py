import optuna
import pytest

from optuna_evo.errors import UsageError
from optuna_evo.surrogates import predict_scores


def study_of(n: int, *, noise: bool, direction: str = "minimize") -> optuna.Study:
    study = optuna.create_study(
        direction=direction,  # type: ignore[arg-type]
        sampler=optuna.samplers.RandomSampler(seed=0),
    )
    for i in range(n):
        trial = study.ask()
        x = trial.suggest_float("x", 0, 1)
        kind = trial.suggest_categorical("kind", ["a", "b"])
        if kind == "b":
            x += trial.suggest_float("only_b", 0, 0.1)
        score = (i * 7919 % 101) / 101 if noise else x
        study.tell(trial, score if direction == "minimize" else -score)
    return study


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_a_predictor_that_ranks_says_so(direction: str) -> None:
    predictor = predict_scores(study_of(40, noise=False, direction=direction))
    assert predictor.is_trusted and predictor.correlation > 0.8
    assert "can be predicted" in predictor.sentence
    ranks = predictor.ranks([{"x": 0.9, "kind": "a"}, {"x": 0.1, "kind": "a"}])
    assert ranks.tolist() == [1, 0]


def test_a_predictor_that_does_not_rank_says_so() -> None:
    predictor = predict_scores(study_of(40, noise=True))
    assert not predictor.is_trusted and predictor.correlation < 0.5
    assert "not to be trusted yet (below 0.5)" in predictor.sentence


def test_too_few_trials_are_one_line() -> None:
    with pytest.raises(UsageError, match="from 8 complete trials on, there are 3"):
        predict_scores(study_of(3, noise=False))
